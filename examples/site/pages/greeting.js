// Asks `/greeting` and shows what the greeter says, which server answered, and how often each one did.

const EVERY_MS = 3000; // quick enough to watch a restart, slow enough to be no load
const ANSWER_MS_MAX = 2500; // less than the interval: questions never pile up
const SERVERS_MAX = 16; // names that are shown; the earliest to appear give way

const text = document.querySelector("#greeting");
const by = document.querySelector("#served-by");
const tally = document.querySelector("#tally");
const answers = new Map();

async function ask() {
  try {
    const options = { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS_MAX) };
    const response = await fetch("/greeting", options);
    if (!response.ok) throw new Error(`status ${response.status}`);
    const greeting = await response.json();
    if (text.textContent !== greeting.text) text.textContent = greeting.text;
    by.textContent = `said the greeter of ${greeting.served_by}`;
    count(greeting.served_by);
  } catch (error) {
    by.textContent = `no answer just now (${error.message}); asking again`;
  }
}

function count(server) {
  answers.set(server, (answers.get(server) ?? 0) + 1);
  if (answers.size > SERVERS_MAX) answers.delete(answers.keys().next().value);
  const items = [...answers].sort().map(([name, times]) => {
    const item = document.createElement("li");
    item.textContent = `${name} × ${times}`;
    item.classList.toggle("latest", name === server);
    return item;
  });
  tally.replaceChildren(...items);
}

document.querySelector("#ask").addEventListener("click", ask);
setInterval(() => document.hidden || ask(), EVERY_MS);
ask();
