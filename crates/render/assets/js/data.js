"use strict";
// The trace, and the words that all views share. Text of the traced program goes to the page as text nodes only.

const trace = JSON.parse(document.getElementById("data").textContent);
const { rows, texts, threads, processes } = trace;
const OK = 0, FAILED = 1, NEVER = 2, SIGNAL = 3, NOTE = 4;

const $ = (id) => document.getElementById(id);

/** An element with properties and children; strings become text nodes. */
function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "on") for (const [type, handler] of Object.entries(value)) node.addEventListener(type, handler);
    else if (key === "style") for (const [name, set] of Object.entries(value)) node.style.setProperty(name, set);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const grouped = (number) => number.toLocaleString("en-US");

function duration(ns) {
  if (ns < 1000) return `${ns} ns`;
  for (const [unit, size] of [["s", 1e9], ["ms", 1e6], ["µs", 1e3]]) {
    if (ns >= size) return `${(ns / size).toFixed(ns >= 100 * size ? 0 : ns >= 10 * size ? 1 : 2)} ${unit}`;
  }
}

function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  for (const [unit, one] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]]) {
    if (bytes >= one) return `${(bytes / one).toFixed(bytes >= 100 * one ? 0 : 1)} ${unit}`;
  }
}

const seconds = (ns) => (ns / 1e9).toFixed(6);

/** `#calls?q=openat` as a view and its parameters. */
function where() {
  const [view, query = ""] = location.hash.slice(1).split("?");
  return { view, query: new URLSearchParams(query) };
}

/** The address of a view. */
function to(view, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== "" && value !== null));
  const text = query.toString();
  return text ? `#${view}?${text}` : `#${view}`;
}

const base = (path) => path.slice(path.lastIndexOf("/") + 1) || path;
const word = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
const command = (process) => {
  const line = process.argv.length ? process.argv.map(word).join(" ") : process.program ?? `process ${process.pid}`;
  return line.length > 400 ? `${line.slice(0, 400)}…` : line;
};

function ending(process) {
  if (process.signal) return `killed by ${process.signal}`;
  if (process.status !== null) return `exit ${process.status}`;
  return "end not seen";
}

const isBad = (process) => Boolean(process.signal) || (process.status !== null && process.status !== 0);

/** One row as a line. */
function line(row) {
  const name = texts[rows.name[row]];
  const args = texts[rows.args[row]];
  if (rows.kind[row] === SIGNAL) return `${name} ${args}`;
  if (rows.kind[row] === NOTE) return `${name} ${args}`.trim();
  return `${name}(${args}) = ${texts[rows.result[row]]}`;
}

// What a call is about, by its name: for the colours of the timeline.
const FAMILIES = [
  ["wait", /^(wait4|waitid|futex|poll|ppoll|select|pselect6|epoll_p?wait2?|nanosleep|clock_nanosleep|pause|rt_sigsuspend|rt_sigtimedwait|sched_yield)/],
  ["network", /^(socket|bind|connect|listen|accept|send|recv|getsock|setsock|getpeer|shutdown)/],
  ["process", /^(clone|fork|vfork|execve|exit|kill|tgkill|prctl|arch_prctl|set_tid|set_robust|rseq|prlimit|unshare|setns|pidfd|ptrace|seccomp|sched_)/],
  ["memory", /^(mmap|munmap|mprotect|mremap|madvise|brk|msync|mlock|munlock|memfd|shm|pkey|process_vm)/],
  ["signal", /^(rt_sig|sigaltstack|signalfd|timer|setitimer|getitimer|alarm|eventfd)/],
  ["file", /(open|read|write|stat|close|access|link|dir|dents|chmod|chown|rename|fcntl|lseek|ioctl|dup|pipe|sync|trunc|fallocate|xattr|mount|fadvise|umask|getcwd|fd|splice|inotify|mknod|utime|creat)/],
];
const familyOf = new Map();
function family(name) {
  let found = familyOf.get(name);
  if (found === undefined) {
    found = FAMILIES.find(([, pattern]) => pattern.test(name))?.[0] ?? "other";
    familyOf.set(name, found);
  }
  return found;
}
