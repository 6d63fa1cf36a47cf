# postgresql, as a user who is not root: initdb, a server with its processes, clients, and an orderly end.
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
main() {
  "$bin/initdb" -D "$PWD/db" -A trust --no-locale -E UTF8 > /dev/null
  exec "$bin/postgres" -D "$PWD/db" -p "$PORT" -c listen_addresses=127.0.0.1 -c unix_socket_directories="$PWD" -c logging_collector=off -c fsync=on 2> log
}
ask() { psql -h "$PWD" -p "$PORT" -qAtX -d postgres "$@"; }
drive() {
  i=0
  until ask -c 'select 1' > /dev/null 2>&1; do i=$((i + 1)); [ $i -lt 300 ] || { cat log >&2; exit 1; }; sleep 0.1; done
  case $1 in
  1) ask -c 'create table t (a int primary key, b text); insert into t select g, md5(g::text) from generate_series(1, 5000) g' ; [ "$(ask -c 'select count(*) from t')" = 5000 ]; ask -c 'select nonsense' 2> /dev/null || true ;;
  2) ask -c 'create table u as select g as a, repeat(md5(g::text), 20) as b from generate_series(1, 20000) g'; ask -c 'create index on u (b)'; ask -c 'checkpoint'; ask -c 'vacuum full analyze u'; ask -c 'select pg_reload_conf()' > /dev/null
     psql -h 127.0.0.1 -p "$PORT" -qAtX -d postgres -c "set work_mem = '64kB'; select count(*) from (select b from u order by b) s" > /dev/null; ask -c 'drop table u' ;;
  3) ask -c "copy (select 1) to '$PWD/copied'"; ask -c "copy (select g from generate_series(1, 10) g) to program 'cat > $PWD/prog'"; ask -c 'create database other'; ask -c 'drop database other'; ask -c 'select pg_terminate_backend(pg_backend_pid())' 2> /dev/null || true
     (ask -c 'select pg_sleep(30)' > /dev/null 2>&1 || true) & sleep 0.5; ask -c "select pg_cancel_backend(pid) from pg_stat_activity where query like '%pg_sleep(30)%' and pid <> pg_backend_pid()" > /dev/null; wait $!; ask -c "set max_parallel_workers_per_gather = 2; set min_parallel_table_scan_size = 0; set parallel_setup_cost = 0; create table w as select g from generate_series(1, 200000) g; select count(*) from w" > /dev/null ;;
  held) ask -c 'create table v (a int, b text)'; printf '%s\n' 'begin;' 'insert into v values (1, 2);' 'savepoint s;' 'select 1/0;' 'rollback to s;' 'rollback;' | ask > /dev/null 2>&1; ask -c 'insert into v select g, g::text from generate_series(1, 30000) g; create index on v (a); update v set b = b || b; delete from v where a % 2 = 0'
     [ "$(ask -c 'select count(*) from v')" = 15000 ]; ask -c 'select 1/0' 2> /dev/null || true; ask -c 'select pg_reload_conf()' > /dev/null; ask -c 'checkpoint'; ask -c 'vacuum v'; ask -c "copy v to '$PWD/v'"; ask -c "copy v from '$PWD/v'"; ask -c 'truncate v'; ask -c "alter system set work_mem = '8MB'"; ask -c 'select pg_reload_conf()' > /dev/null ;;
  esac
  kill -INT "$(head -n 1 db/postmaster.pid)"
}
