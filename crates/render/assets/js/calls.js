// The table of rows. Only what is in sight is on the page.

const ROW = 22;
let chosen = [];
let selected = -1;
let lowered = null;

/** The rows that a query takes: each word must occur, in any text of the row. */
function choose(query) {
  const words = (query.get("q") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const failed = query.get("failed") === "1";
  const pid = query.get("pid");
  const lower = words.length ? (lowered ??= texts.map((text) => text.toLowerCase())) : [];
  const hits = words.map((needle) => lower.map((text) => text.includes(needle)));
  const found = [];
  for (let row = 0; row < rows.at.length; row++) {
    if (failed && rows.kind[row] !== FAILED) continue;
    if (pid !== null) {
      const [tid, process] = threads[rows.thread[row]];
      if (String(tid) !== pid && String(processes[process].pid) !== pid) continue;
    }
    if (hits.every((hit) => hit[rows.name[row]] || hit[rows.args[row]] || hit[rows.result[row]])) found.push(row);
  }
  return found;
}

const KIND = ["ok", "failed", "never", "signal", "note"];

function rowElement(place) {
  const row = chosen[place];
  const [tid, process] = threads[rows.thread[row]];
  const kind = rows.kind[row];
  const call = kind === SIGNAL || kind === NOTE
    ? el("span", { role: "cell", class: "call" }, el("b", {}, texts[rows.name[row]]), ` ${texts[rows.args[row]]}`)
    : el("span", { role: "cell", class: "call" }, el("b", {}, texts[rows.name[row]]), `(${texts[rows.args[row]]})`);
  const node = el("div", {
    role: "row", class: `row ${KIND[kind]}${row === selected ? " selected" : ""}`, "aria-rowindex": place + 2,
    style: { top: `${place * ROW}px` }, on: { click: () => select(place) },
  },
    el("span", { role: "cell", class: "number" }, seconds(rows.at[row])),
    el("span", { role: "cell", class: "number" }, kind === SIGNAL || kind === NOTE ? "" : duration(rows.took[row])),
    el("span", { role: "cell", class: "task", title: command(processes[process]) }, `${base(processes[process].program ?? "")} ${tid}`.trim()),
    call,
    el("span", { role: "cell", class: "result" }, texts[rows.result[row]]));
  return node;
}

function paint() {
  const view = $("rows");
  if (!view) return;
  const first = Math.max(0, Math.floor(view.scrollTop / ROW) - 8);
  const last = Math.min(chosen.length, Math.ceil((view.scrollTop + view.clientHeight) / ROW) + 8);
  const nodes = [];
  for (let place = first; place < last; place++) nodes.push(rowElement(place));
  $("space").replaceChildren(...nodes);
}

function select(place) {
  selected = chosen[place];
  const detail = $("detail");
  if (selected === undefined) {
    detail.hidden = true;
    return;
  }
  const [tid, process] = threads[rows.thread[selected]];
  const moment = new Date(trace.began_unix_ns / 1e6 + rows.at[selected] / 1e6);
  detail.hidden = false;
  detail.replaceChildren(
    el("code", {}, line(selected)),
    el("p", {}, `${command(processes[process])} · thread ${tid} · at ${seconds(rows.at[selected])} s`
      + (trace.began_unix_ns ? ` (${moment.toLocaleString()})` : "")
      + (rows.kind[selected] <= FAILED ? ` · took ${duration(rows.took[selected])}` : "")));
  const view = $("rows");
  if (place * ROW < view.scrollTop) view.scrollTop = place * ROW;
  else if ((place + 1) * ROW > view.scrollTop + view.clientHeight) view.scrollTop = (place + 1) * ROW - view.clientHeight;
  paint();
}

function buildCalls() {
  const change = () => {
    const query = { q: $("q").value.trim(), pid: $("task").value, failed: $("failed").checked ? 1 : "" };
    history.replaceState(null, "", to("calls", query));
    showCalls(where().query, true);
  };
  const tasks = processes.slice(0, 2000).map((process) => el("option", { value: process.pid }, `${process.pid} ${base(process.program ?? "")}`));
  $("view-calls").replaceChildren(
    el("form", { role: "search", on: { submit: (event) => event.preventDefault() } },
      el("input", { id: "q", type: "search", placeholder: "Words in the call, its arguments or its result", "aria-label": "Search", autocomplete: "off", spellcheck: "false", on: { input: change } }),
      el("select", { id: "task", "aria-label": "Process", on: { change } }, el("option", { value: "" }, "All processes"), ...tasks),
      el("label", {}, el("input", { id: "failed", type: "checkbox", on: { change } }), " only failing"),
      el("output", { id: "count", "aria-live": "polite" })),
    el("div", { role: "table", "aria-label": "Calls", id: "grid" },
      el("div", { role: "row", class: "row heading" },
        ...["Time", "Took", "Task", "Call", "Result"].map((title, place) => el("span", { role: "columnheader", class: place < 2 ? "number" : null }, title))),
      el("div", { id: "rows", role: "rowgroup", tabindex: "0", on: { scroll: () => requestAnimationFrame(paint), keydown: keys } }, el("div", { id: "space" }))),
    el("aside", { id: "detail", "aria-label": "The chosen call", hidden: true }));
  addEventListener("resize", paint);
}

function keys(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || !chosen.length) return;
  event.preventDefault();
  const place = Math.max(0, Math.min(chosen.length - 1, chosen.indexOf(selected) + step));
  select(place);
}

function showCalls(query, typed = false) {
  if (!$("rows")) buildCalls();
  if (!typed) {
    $("q").value = query.get("q") ?? "";
    $("failed").checked = query.get("failed") === "1";
    const pid = query.get("pid") ?? "";
    if (pid && ![...$("task").options].some((option) => option.value === pid)) $("task").append(el("option", { value: pid }, pid));
    $("task").value = pid;
  }
  chosen = choose(query);
  $("space").style.height = `${chosen.length * ROW}px`;
  $("grid").setAttribute("aria-rowcount", chosen.length + 1);
  $("count").textContent = `${grouped(chosen.length)} of ${grouped(rows.at.length)} rows`;
  const place = query.has("row") ? chosen.indexOf(Number(query.get("row"))) : -1;
  $("rows").scrollTop = Math.max(0, place * ROW - 5 * ROW);
  select(place);
  paint();
}
