/* The page itself: its tabs, the chooser of runs, and the start. */

const TABS = { draw: Draw, walk: Walk, directions: Directions, eye: Eye, learned: Learned };
let openedTab = "draw";

/** The tabs that this run has. */
const shownTabs = () => Object.keys(TABS).filter((name) => TABS[name].available?.() ?? true);

function openTab(name, { focus = true } = {}) {
  if (!shownTabs().includes(name)) name = "draw";
  if (name !== openedTab) TABS[openedTab].hide?.();
  openedTab = name;
  for (const other of Object.keys(TABS)) {
    const tab = $(`tab-${other}`);
    tab.hidden = !shownTabs().includes(other);
    tab.setAttribute("aria-selected", other === name);
    tab.tabIndex = other === name ? 0 : -1;
    $(other).hidden = other !== name;
  }
  if (focus) $(`tab-${name}`).focus();
  saveAddress();
  TABS[name].show();
}

function openRun(index) {
  TABS[openedTab].hide?.();
  run = RUNS[index];
  machine.forgetAll();
  document.body.classList.toggle("smooth", isSmooth());
  document.body.classList.toggle("transparent", run.shape[2] === 4);
  document.body.style.setProperty("--aspect", run.shape[1] / run.shape[0]);
  $("run").value = index;
  $("name").textContent = run.name;
  $("about").textContent = run.about;
  Object.values(TABS).forEach((tab) => tab.open());
  openTab(openedTab, { focus: false });
}

/** The address keeps the tab and the run, so that a reload or a link opens them again. */
function saveAddress() {
  const index = RUNS.indexOf(run);
  history.replaceState(null, "", `#tab=${openedTab}${index ? `&run=${index}` : ""}`);
}

function readAddress() {
  const address = new URLSearchParams(location.hash.slice(1));
  const [tab, index] = [address.get("tab"), address.get("run")];
  return [Object.hasOwn(TABS, tab) ? tab : "draw", Object.hasOwn(RUNS, index) && RUNS[index].name ? Number(index) : 0];
}

$("chooser").hidden = RUNS.length < 2;
const names = RUNS.map(({ name }) => name);
fillSelect($("run"), names);
$("run").onchange = () => openRun(Number($("run").value));
for (const name of Object.keys(TABS)) $(`tab-${name}`).onclick = () => openTab(name);
$("tabs").onkeydown = (event) => {
  const names = shownTabs();
  const here = names.indexOf(openedTab);
  const to = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: names.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  openTab(names[(to + names.length) % names.length]);
};
addEventListener("hashchange", () => {
  const [tab, index] = readAddress();
  if (RUNS[index] !== run) openRun(index);
  openTab(tab, { focus: false });
});
Object.values(TABS).forEach((tab) => tab.begin());
{
  const [tab, index] = readAddress();
  openedTab = tab;
  openRun(index);
  document.body.classList.add("ready");
}
