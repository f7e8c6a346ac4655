"use strict";

// GraphiQL's dialogs write a style element while they are open; by this name they take the policy's leave for it.
window.__webpack_nonce__ = document.currentScript.nonce;

const h = React.createElement;
const { PluginContextProvider, useEditorContext } = GraphiQL.React;
const examples = JSON.parse(document.getElementById("examples").textContent);
const TABS_AT_START = 6;

/** Whom to try, and the command that prints a token; the ids are the sandbox's, the same after every start. */
const CALLERS = [
  [
    "Trey Research, a reseller, with the tenants it manages",
    "gateway token --kind reseller --reseller-id da19381a-5c96-53ec-9fb1-d7d4c15ea539",
  ],
  [
    "Contoso, a direct customer, with its own tenant alone",
    "gateway token --kind direct-customer --tenant-id b14400d0-f56a-5961-bc84-4596c306785d",
  ],
  ["A partner who may only look", "gateway token --kind partner --permissions READ"],
];

/**
 * Asks the address that this page came from. A subscription is asked for as an event stream, and so is any
 * document that holds the word: the stream carries queries too, while GraphiQL's own reading of the document
 * (`documentAST`) may still be the previous tab's.
 */
function fetcher({ operationName, ...request }, { headers } = {}) {
  // For a moment after a change of tab the name is still that of the previous tab's operation.
  const params = request.query.includes(operationName) ? { operationName, ...request } : request;
  return /\bsubscription\b/.test(params.query) ? stream(params, headers) : ask(params, headers);
}

function post(params, headers, accept, signal) {
  return fetch(location.pathname, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: accept, ...headers },
    body: JSON.stringify(params),
    signal,
  });
}

async function ask(params, headers) {
  return read(await post(params, headers, "application/graphql-response+json, application/json;q=0.9"));
}

/** A refusal is shown as it came; what is no JSON, such as a proxy's page, by its status and how it begins. */
async function read(response) {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    return { errors: [{ message: `The server answered ${response.status}: ${text.slice(0, 300)}` }] };
  }
}

async function* stream(params, headers) {
  const stop = new AbortController();
  try {
    const response = await post(params, headers, "text/event-stream, application/json;q=0.9", stop.signal);
    if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
      yield await read(response);
      return;
    }
    for await (const line of lines(response.body)) {
      // The last event, `complete`, has no data.
      const data = line.startsWith("data:") && line.slice(5).trim();
      if (data) yield JSON.parse(data);
    }
  } finally {
    // The stop button ends the generator here; without this the server would go on sending.
    stop.abort();
  }
}

async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const parts = (rest + value).split(/\r?\n/);
    rest = parts.pop();
    yield* parts;
  }
}

/** Shows the example with the cursor in it, so that Ctrl-Enter runs it. */
function chooseExample(editors, example) {
  openExample(editors, example);
  editors.queryEditor.focus();
}

/** Shows the tab that holds the example, or a new one with the headers of the tab in front. */
function openExample(editors, example) {
  const place = editors.tabs.findIndex((tab) => tab.query === example.query);
  if (place >= 0) {
    editors.changeTab(place);
    return;
  }
  const headers = editors.headerEditor.getValue();
  // The new tab empties the editors when it is drawn; what we put into them must come after that.
  ReactDOM.flushSync(() => editors.addTab());
  editors.queryEditor.setValue(example.query);
  editors.variableEditor.setValue(example.variables);
  editors.headerEditor.setValue(headers);
  // The editors tell the tab of a change after a while; who moves on sooner would lose it.
  editors.updateActiveTabValues({ query: example.query, variables: example.variables, headers });
}

function putIntoHeaders(editors, token) {
  const headers = JSON.stringify({ Authorization: `Bearer ${token.trim().replace(/^Bearer\s+/i, "")}` }, null, 2);
  editors.headerEditor.setValue(headers);
  document.querySelector('.graphiql-editor-tools [data-name="headers"]').click();
}

function Examples() {
  const editors = useEditorContext({ nonNull: true });
  const shown = editors.tabs[editors.activeTabIndex]?.query;
  return h(
    "ul",
    null,
    examples.map((example) =>
      h(
        "li",
        { key: example.name },
        h(
          "button",
          {
            type: "button",
            className: "start-example",
            "aria-current": example.query === shown,
            onClick: () => chooseExample(editors, example),
          },
          example.name,
        ),
      ),
    ),
  );
}

function Caller() {
  const editors = useEditorContext({ nonNull: true });
  const [token, setToken] = React.useState("");
  return h(
    React.Fragment,
    null,
    h("h3", null, "Ask as someone else"),
    h(
      "p",
      null,
      "With the sandbox, a request without a token comes from the demo partner, who may do everything. ",
      "To see what another caller sees, print a token in a terminal. In a checkout the program is ",
      h("code", null, ".venv/bin/gateway"),
      ".",
    ),
    CALLERS.map(([who, command]) =>
      h(
        React.Fragment,
        { key: command },
        h("p", { className: "start-caller" }, who),
        h("code", { className: "start-command" }, command),
      ),
    ),
    h("input", {
      className: "start-token",
      type: "text",
      value: token,
      spellCheck: false,
      autoComplete: "off",
      placeholder: "Paste a token",
      "aria-label": "Token",
      onChange: (event) => setToken(event.target.value),
    }),
    h(
      "button",
      {
        type: "button",
        className: "graphiql-button",
        disabled: token.trim() === "",
        onClick: () => putIntoHeaders(editors, token),
      },
      "Put it into this tab's Headers",
    ),
  );
}

function StartHere() {
  return h(
    "section",
    { className: "start" },
    h("h2", null, "Start here"),
    h(
      "p",
      null,
      "People, licenses and subscriptions of a Microsoft partner's customers, read and changed through Partner Center. ",
      "Choose an example and run it with ",
      h("strong", null, "Ctrl-Enter"),
      ". The Explorer in the side bar writes queries for you; the book there is the documentation.",
    ),
    examples.length > 0 && h("h3", null, "Examples"),
    h(Examples),
    h(Caller),
  );
}

function StartIcon() {
  return h(
    "svg",
    { viewBox: "0 0 24 24", fill: "none", stroke: "currentColor", strokeWidth: 1.5, "aria-hidden": true },
    h("circle", { cx: 12, cy: 12, r: 10 }),
    h("path", { d: "m15.5 8.5-2 5-5 2 2-5z", strokeLinejoin: "round" }),
  );
}

const startHere = { title: "Start here", icon: StartIcon, content: StartHere };
const plugins = [startHere, GraphiQLPluginExplorer.explorerPlugin({ showAttribution: false })];

/** Whoever closes "Start here" has read it: it opens by itself until then. */
const CLOSED = "gateway:start-here-closed";
const visiblePlugin = localStorage.getItem(CLOSED) ? undefined : startHere;

function rememberVisibility(plugin) {
  if (plugin === startHere) localStorage.removeItem(CLOSED);
  else localStorage.setItem(CLOSED, "yes");
}

const HOLD_HEADERS = new Set(["graphiql:queries", "graphiql:favorites", "graphiql:tabState"]);

/**
 * The browser's storage, but headers stay out of it: they hold tokens. GraphiQL leaves them out of its tabs where
 * told so, and writes them into its history all the same.
 */
const storage = {
  get length() {
    return localStorage.length;
  },
  getItem: (name) => localStorage.getItem(name),
  removeItem: (name) => localStorage.removeItem(name),
  clear: () => localStorage.clear(),
  setItem: (name, value) => localStorage.setItem(name, HOLD_HEADERS.has(name) ? withoutHeaders(value) : value),
};

function withoutHeaders(records) {
  return JSON.stringify(JSON.parse(records, (key, value) => (key === "headers" ? null : value)));
}

const root = ReactDOM.createRoot(document.getElementById("graphiql"));
// GraphiQL folds the side pane away before it has looked at `visiblePlugin`, unless an earlier drawing has set it.
ReactDOM.flushSync(() => root.render(h(PluginContextProvider, { plugins, visiblePlugin })));
root.render(
  h(
    GraphiQL,
    {
      fetcher,
      plugins,
      visiblePlugin,
      onTogglePluginVisibility: rememberVisibility,
      defaultTabs: examples.length > 0 ? examples.slice(0, TABS_AT_START) : undefined,
      isHeadersEditorEnabled: true,
      defaultEditorToolsVisibility: true,
      storage,
      shouldPersistHeaders: false,
      showPersistHeadersSettings: false,
    },
    h(GraphiQL.Logo, null, h("span", { className: "page-logo" }, "Partner Center gateway")),
  ),
);
