// Process tree, calls by time, failures by number.

/** The places of all processes, parents before children, with their depth. */
const tree = (() => {
  const children = new Map();
  processes.forEach((process, place) => {
    if (!children.has(process.parent)) children.set(process.parent, []);
    children.get(process.parent).push(place);
  });
  const order = [];
  const rest = [...(children.get(null) ?? [])].reverse().map((place) => [place, 0]);
  while (rest.length) {
    const [place, depth] = rest.pop();
    order.push([place, depth]);
    for (const child of [...(children.get(place) ?? [])].reverse()) rest.push([child, depth + 1]);
  }
  return order;
})();

function processRow([place, depth]) {
  const process = processes[place];
  const end = process.ended_ns ?? trace.end_ns;
  const share = (ns) => `${trace.end_ns ? (100 * ns) / trace.end_ns : 0}%`;
  const bar = el("span", { class: isBad(process) ? "life bad" : "life", style: { left: share(process.began_ns), width: share(end - process.began_ns) } });
  return el("tr", {},
    el("td", { class: "program", style: { "--depth": String(Math.min(depth, 24)) } },
      el("a", { href: to("calls", { pid: process.pid }), title: command(process) }, command(process))),
    el("td", { class: "number" }, String(process.pid)),
    el("td", {}, el("span", { class: isBad(process) ? "badge bad" : "badge" }, ending(process))),
    el("td", { class: "number" }, grouped(process.calls)),
    el("td", { class: process.failed ? "number failed" : "number" }, grouped(process.failed)),
    el("td", { class: "number" }, duration(end - process.began_ns)),
    el("td", { class: "lifeline", "aria-hidden": "true" }, bar));
}

function head(...columns) {
  return el("thead", {}, el("tr", {}, ...columns.map(([title, kind]) => el("th", { scope: "col", class: kind }, title))));
}

function overview() {
  const SHOWN = 500;
  const sums = [...trace.sums].sort((a, b) => b.wall_ns - a.wall_ns);
  const most = sums[0]?.wall_ns || 1;
  const failures = [...trace.failures].sort((a, b) => b.count - a.count);
  const more = (list, shown, what) => (list.length > shown ? el("p", { class: "more" }, `${grouped(list.length - shown)} more ${what} are not listed here.`) : null);
  $("view-overview").replaceChildren(
    el("article", { class: "wide" }, el("h2", {}, "Processes"),
      el("div", { class: "scroll" }, el("table", { id: "tree" },
        head(["Command", "program"], ["PID", "number"], ["End"], ["Calls", "number"], ["Failed", "number"], ["Time", "number"], ["Life"]),
        el("tbody", {}, ...tree.slice(0, SHOWN).map(processRow)))),
      more(tree, SHOWN, "processes")),
    el("article", {}, el("h2", {}, "Calls by time"),
      el("div", { class: "scroll" }, el("table", { id: "top" },
        head(["Call"], ["Time", "number"], ["Longest", "number"], ["Calls", "number"], ["Errors", "number"]),
        el("tbody", {}, ...sums.slice(0, 30).map((sum) => el("tr", {},
          el("td", { class: "barred" },
            el("span", { class: `bar ${family(sum.name)}`, style: { width: `${(100 * sum.wall_ns) / most}%` }, "aria-hidden": "true" }),
            el("a", { href: to("calls", { q: sum.name }) }, sum.name)),
          el("td", { class: "number" }, duration(sum.wall_ns)),
          el("td", { class: "number" }, duration(sum.longest_ns)),
          el("td", { class: "number" }, grouped(sum.calls)),
          el("td", { class: sum.errors ? "number failed" : "number" }, sum.errors ? grouped(sum.errors) : "")))))),
      more(sums, 30, "calls"),
      el("p", { class: "more" }, "Time on the clock from entry to return: waiting counts, and so does what tracing costs.")),
    el("article", {}, el("h2", {}, "Failing calls"),
      failures.length === 0 ? el("p", { class: "empty" }, "No call failed.") :
      el("div", { class: "scroll" }, el("table", { id: "failures" },
        head(["Call"], ["Error"], ["About", "program"], ["Times", "number"]),
        el("tbody", {}, ...failures.slice(0, 30).map((failure) => el("tr", {},
          el("td", {}, failure.name),
          el("td", { class: "failed" }, failure.errno),
          el("td", { class: "path", title: failure.about }, failure.first === null ? failure.about :
            el("a", { href: to("calls", { failed: 1, q: `${failure.name} ${failure.errno}`, row: failure.first }) }, failure.about || "the first")),
          el("td", { class: "number" }, grouped(failure.count))))))),
      more(failures, 30, "kinds of failure")));
}
