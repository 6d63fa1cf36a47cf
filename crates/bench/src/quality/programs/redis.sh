# redis-server: keys, expiry, transactions, scripts, snapshots (a child of its own), the append-only file, its rewriting, and a start from each.
main() {
  case $1 in
  2 | held) exec redis-server --bind 127.0.0.1 --port "$PORT" --dir "$PWD" --appendonly yes --save 3600 1 --loglevel warning ;;
  *) exec redis-server --bind 127.0.0.1 --port "$PORT" --dir "$PWD" --save '' --loglevel warning ;;
  esac
}
ask() { redis-cli -p "$PORT" "$@"; }
drive() {
  await_port
  case $1 in
  1) ask set a 1 > /dev/null; [ "$(ask incr a)" = 2 ]; ask lpush l a b c > /dev/null; ask expire a 100 > /dev/null; ask eval 'return redis.call("get", "a")' 0 > /dev/null; ask info > /dev/null; ask nonsense > /dev/null 2>&1 || true ;;
  2) ask mset a 1 b 2 > /dev/null; ask bgsave > /dev/null; sleep 1; ask bgrewriteaof > /dev/null; sleep 1.5; ask config set appendfsync always > /dev/null; ask set c 3 > /dev/null; ask flushall > /dev/null ;;
  3) ask set x y > /dev/null; ask save > /dev/null; ask bgsave > /dev/null; sleep 1; ask debug reload > /dev/null 2>&1 || true; ask client list > /dev/null; ask config set maxmemory 100mb > /dev/null
     timeout 1 redis-cli -p "$PORT" subscribe ch > /dev/null & sleep 0.3; ask publish ch m > /dev/null; wait $! || true; ask config rewrite > /dev/null 2>&1 || true; ask slowlog get > /dev/null; ask memory doctor > /dev/null; ask latency doctor > /dev/null ;;
  held) i=0; while [ $i -lt 200 ]; do echo "set k$i v$i"; i=$((i + 1)); done | ask > /dev/null; ask bgrewriteaof > /dev/null; sleep 1.5; ask bgsave > /dev/null; sleep 1; [ "$(ask dbsize)" = 200 ]
     printf 'multi\nset t 1\nincr t\nexec\n' | ask > /dev/null; ask get nothing > /dev/null; ask lpush k1 x > /dev/null 2>&1 || true; ask config set save '60 1' > /dev/null; ask scan 0 > /dev/null; ask object encoding k1 > /dev/null ;;
  esac
  ask shutdown > /dev/null 2>&1 || true
}
