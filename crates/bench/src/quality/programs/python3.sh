# python3: files, threads, processes, asyncio with its servers and subprocesses, TLS on the loopback.
main() {
  [ -f /tmp/none ] || true
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem 2> /dev/null
  exec /usr/bin/python3 -c "$(body "$1")"
}
body() {
  cat <<'END'
import asyncio, json, os, pathlib, random, shutil, signal, socket, sqlite3, ssl, subprocess, sys, tempfile, threading, time
def tls():
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); server.load_cert_chain('cert.pem', 'key.pem')
    client = ssl.create_default_context(cafile='cert.pem')
    with socket.create_server(('127.0.0.1', 0)) as listener:
        def serve():
            c, _ = listener.accept()
            with server.wrap_socket(c, server_side=True) as s: s.sendall(s.recv(100).upper())
        t = threading.Thread(target=serve); t.start()
        with socket.create_connection(listener.getsockname()) as c, client.wrap_socket(c, server_hostname='localhost') as s:
            s.sendall(b'hello'); assert s.recv(100) == b'HELLO'
        t.join()
def threads(n):
    lock, total = threading.Lock(), []
    def work(i):
        time.sleep(random.random() / 100)
        with lock: total.append(i)
    ts = [threading.Thread(target=work, args=(i,)) for i in range(n)]
    [t.start() for t in ts]; [t.join() for t in ts]; assert len(total) == n
async def aio(n):
    async def echo(r, w): w.write(await r.readline()); await w.drain(); w.close()
    server = await asyncio.start_server(echo, '127.0.0.1', 0); port = server.sockets[0].getsockname()[1]
    async def ask():
        r, w = await asyncio.open_connection('127.0.0.1', port); w.write(b'x\n'); assert await r.readline() == b'x\n'; w.close()
    await asyncio.gather(*[ask() for _ in range(n)])
    p = await asyncio.create_subprocess_exec('echo', 'sub', stdout=asyncio.subprocess.PIPE); out, _ = await p.communicate(); assert out == b'sub\n'
    server.close(); await asyncio.sleep(0.05)
def files():
    with tempfile.TemporaryDirectory() as d:
        p = pathlib.Path(d) / 'a'; p.write_text('x' * 100000); shutil.copy(p, p.with_suffix('.b')); os.rename(p, p.with_suffix('.c')); os.symlink('a.c', p)
        assert len(os.listdir(d)) == 3; os.chmod(p.with_suffix('.c'), 0o600); os.truncate(p.with_suffix('.c'), 5); [os.stat(e) for e in os.scandir(d)]
def errors():
    for f in (lambda: open('/nonexistent'), lambda: os.mkdir('/proc/x'), lambda: socket.create_connection(('127.0.0.1', 1), timeout=0.2), lambda: subprocess.run(['/nonexistent'])):
        try: f()
        except OSError: pass
        else: raise SystemExit(1)
    signal.signal(signal.SIGALRM, lambda *_: None); signal.setitimer(signal.ITIMER_REAL, 0.05); time.sleep(0.1)
END
  case $1 in
  1) echo 'files(); threads(4); print(subprocess.run(["echo", "child"], capture_output=True, text=True).stdout)' ;;
  2) echo 'tls(); asyncio.run(aio(5)); db = sqlite3.connect("x.db"); db.execute("create table t (a)"); db.execute("insert into t values (1)"); db.commit(); db.close()' ;;
  3) echo 'import multiprocessing, mmap, select, selectors, urllib.request; errors(); os.wait4(os.spawnlp(os.P_NOWAIT, "true", "true"), 0); multiprocessing.Pool(2).map(abs, [1, -2]); threads(64); tls()
m = mmap.mmap(-1, 1 << 20); m[0:5] = b"hello"; m.close(); r, w = os.pipe(); os.write(w, b"x"); select.select([r], [], [], 1); os.getrandom(8); time.get_clock_info("monotonic"); os.cpu_count(); os.getloadavg(); subprocess.run("exit 3", shell=True)' ;;
  held) echo 'threads(32); tls(); tls(); asyncio.run(aio(40)); files(); errors(); json.dump({"a": 1}, open("j", "w")); assert json.load(open("j")) == {"a": 1}
p = subprocess.Popen(["sleep", "10"]); p.terminate(); assert p.wait() == -15; shutil.make_archive("arc", "gztar", ".", "j"); print(len(os.listdir(".")))
db = sqlite3.connect("y.db"); db.executescript("create table t (a); insert into t values (1); insert into t values (2)"); db.commit(); assert db.execute("select sum(a) from t").fetchone() == (3,)
try: db.execute("nonsense")
except sqlite3.Error: pass' ;;
  esac
}
