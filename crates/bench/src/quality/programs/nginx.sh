# nginx: a master and two workers that serve files, take uploads, are told to load their configuration again, to open their logs again, and to end.
configure() {
  mkdir -p www/up tmp
  chmod 777 www www/up tmp
  echo hello > www/index.html
  head -c 300000 /dev/zero > www/big
  cat > nginx.conf <<END
worker_processes 2; pid $PWD/nginx.pid; error_log $PWD/error.log; daemon off;
events { worker_connections 64; }
http {
  access_log $PWD/access.log; client_body_temp_path $PWD/tmp/b; proxy_temp_path $PWD/tmp/p; fastcgi_temp_path $PWD/tmp/f; uwsgi_temp_path $PWD/tmp/u; scgi_temp_path $PWD/tmp/s;
  sendfile on; keepalive_timeout 5; if_modified_since before;
  server { listen 127.0.0.1:$PORT; root $PWD/www;
    location /up { dav_methods PUT DELETE MKCOL COPY MOVE; create_full_put_path on; client_max_body_size 10m; }
    location /gz { gzip on; gzip_types *; gzip_min_length 1; alias $PWD/www; }
    location /list { autoindex on; alias $PWD/www; } }
}
END
}
main() { configure; exec nginx -p "$PWD" -c "$PWD/nginx.conf"; }
ask() { # METHOD PATH [HEADER] [BODY]
  { printf '%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%b' "$1" "$2" "${3:-}"; printf 'Content-Length: %d\r\n\r\n%s' "${#4}" "${4:-}"; } | busybox nc 127.0.0.1 "$PORT"
}
expect() { status=$1; shift; ask "$@" | head -n 1 | grep -q " $status " || { echo "no $status for $1 $2" >&2; exit 1; }; }
signal() { kill -"$1" "$(cat nginx.pid)"; }
drive() {
  await_port
  case $1 in
  1) expect 200 GET /; expect 200 GET /big; expect 404 GET /nothing; signal HUP; sleep 0.5; expect 200 GET / ;;
  2) expect 201 PUT /up/a '' "$(head -c 60000 /dev/zero | tr '\0' x)"; expect 204 DELETE /up/a; expect 200 GET /gz/index.html 'Accept-Encoding: gzip\r\n'; expect 200 GET /list/
     mv access.log access.old; signal USR1; sleep 0.5; expect 200 HEAD /index.html ;;
  3) expect 206 GET /big 'Range: bytes=10-20\r\n'; expect 304 GET /index.html 'If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n'; expect 405 PUT /x '' y
     expect 201 MKCOL /up/dir/; expect 201 PUT /up/dir/f '' z; expect 204 COPY /up/dir/f 'Destination: /up/g\r\n'; expect 204 MOVE /up/g 'Destination: /up/h\r\n'
     kill -KILL "$(pgrep -P "$(cat nginx.pid)" | head -n 1)"; sleep 0.5; expect 200 GET / ;;
  held) for i in 1 2 3 4 5; do expect 200 GET /; done; expect 400 GET "bad path"; expect 201 PUT /up/new/place/a '' text; expect 200 GET /up/new/place/a; expect 204 DELETE /up/new/place/a
     signal HUP; sleep 0.5; expect 200 GET /big; signal USR1; signal HUP; sleep 0.5; expect 403 GET /up/; expect 200 GET /gz/big 'Accept-Encoding: gzip\r\n'; printf 'PUT /up/x HTTP/1.0\r\nContent-Length: 99999999\r\n\r\n' | busybox nc 127.0.0.1 "$PORT" | head -n 1 | grep -q ' 413 ' ;;
  esac
  signal QUIT
}
