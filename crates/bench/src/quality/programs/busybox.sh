# busybox as a toolbox: files, text, archives, processes. Everything is one static program.
main() {
  case $1 in
  1) exec busybox sh -c '
      echo one > a; cp a b; mv b c; mkdir -p d/e; ln -s a l; ln a h; touch -d "2020-01-01 00:00" a; chmod 600 a; chown 0:0 a
      cat a c | grep -c one | busybox wc -l; ls -laR . > list; find . -type f | sort | xargs md5sum | sed "s/ .*//" | uniq > sums
      awk "BEGIN { for (i = 0; i < 10; i++) print i * i }" | tail -n 3; rm -r d l h; du -s .; df . > /dev/null; stat a > /dev/null; date > /dev/null' ;;
  2) exec busybox sh -c '
      mkdir t; i=0; while [ $i -lt 40 ]; do dd if=/dev/urandom of=t/f$i bs=1k count=8 2>/dev/null; i=$((i+1)); done
      tar cf t.tar t; gzip t.tar; gunzip -c t.tar.gz | tar tf - | wc -l; mkdir u; tar xzf t.tar.gz -C u; diff -r t u/t && cmp t/f1 u/t/f1
      sleep 0.1 & wait; (exit 3) || echo $?; sleep 100 & kill $!; wait $! || true; nice true; timeout 5 true; id; hostname > /dev/null; uname -a > /dev/null
      mkfifo p; (echo through > p &) ; cat p; trap "echo trapped" USR1; kill -USR1 $$; sync; ps > /dev/null; free > /dev/null; uptime > /dev/null' ;;
  3) exec busybox sh -c '
      ls nothing 2>/dev/null || echo absent; cat / 2>/dev/null || true; rm nothing 2>/dev/null || true; mkdir a; rmdir a; mkdir /proc/x 2>/dev/null || true
      echo x | tee a1 > a2; sed -i s/x/y/ a1; head -c 100000 /dev/zero | od -A d -t x1 | head -n 2; seq 1 20000 | sort -n -r | head -n 1; cd /; cd - > /dev/null; umask 027; echo > m
      mktemp -d ./tmpXXXXXX > /dev/null; readlink -f m > /dev/null; truncate -s 1M big; split -b 300k big; cat x* | sha256sum > /dev/null; vi -c q m < /dev/null > /dev/null 2>&1 || true
      timeout 1 sleep 5 || echo late; echo "echo nested" | sh; nohup true > /dev/null 2>&1; usleep 1000; time true 2>/dev/null; which sh > /dev/null; env > /dev/null' ;;
  held) exec busybox sh -c '
      set -e; mkdir -p src/deep; for f in 1 2 3; do seq 1 $((f * 1000)) > src/deep/$f; done; tar czf - src | (mkdir back; cd back; tar xzf -); diff -r src back/src
      cp -a src copy; find copy -name "2" -exec rm {} +; diff -rq src copy > diffs || true; grep -q Only diffs; sed -i "s/^5$/five/" copy/deep/1; grep -n five copy/deep/1
      (trap "exit 7" TERM; sleep 2 & wait) & s=$!; sleep 0.1; kill -TERM $s; wait $s || [ $? = 7 ]; cat nowhere 2>/dev/null || true; awk "{s += \$1} END {print s}" src/deep/3
      ln -sf deep src/link; ls -l src/link; mv copy moved; chmod -R go-rwx moved; rm -rf moved src back; ls | wc -l' ;;
  esac
}
