// What an SDK makes of the responses that it gets, as one line of JSON per case: {"case": ..., "saw": ...}.
//
// As with transcript.py, nothing goes into one that differs from run to run: no times, ports or ids of ours.

export const MESSAGES = [{ role: "user", content: "How is the weather?" }];

export const SCHEMA = {
  type: "object",
  properties: { path: { type: "string" } },
  required: ["path"],
  additionalProperties: false,
};

// What of a response's head an SDK or its user acts upon.
const HEADERS = ["content-type", "retry-after", "retry-after-ms", "x-should-retry", "request-id", "x-request-id"];

const STATUSES = [400, 401, 403, 404, 409, 413, 422, 429, 500, 503, 529];

/**
 * Says everything that an SDK sees, `sdk` being how it is used: `client(options)`, and `whole`, `iterated`, `helped`, `loop`
 * and `request`, which take a client and a case.
 */
export async function tell(sdk) {
  const hasty = sdk.client({ maxRetries: 0, timeout: 60_000 });
  const calls = {};
  for (const name of cases("WHOLE")) {
    calls[`whole ${name}`] = () => sdk.whole(hasty, name);
  }
  for (const name of cases("STREAMED")) {
    calls[`iterated ${name}`] = () => iterated(sdk.iterated(hasty, name));
    calls[`helped ${name}`] = () => sdk.helped(hasty, name);
  }
  for (const name of ["tools_two", "tool_only"]) {
    calls[`loop ${name}`] = () => sdk.loop(hasty, `loop-${name}`);
  }
  calls["raw"] = () => raw(sdk.whole(hasty, "text"));
  calls["raw stream"] = () => raw(sdk.iterated(hasty, "text"));
  calls["lines"] = () => lines(sdk.iterated(hasty, "text"));
  for (const status of STATUSES) {
    calls[`error ${status}`] = () => sdk.whole(hasty, `status-${status}`);
    calls[`error ${status} streamed`] = () => iterated(sdk.iterated(hasty, `status-${status}`));
    calls[`error ${status} helped`] = () => sdk.helped(hasty, `status-${status}`);
  }
  const patient = sdk.client({ maxRetries: 2, timeout: 60_000 });
  for (const status of [429, 503]) {
    calls[`retried ${status}`] = () => sdk.whole(patient, `retry-${status}`);
    calls[`retried ${status} streamed`] = () => iterated(sdk.iterated(patient, `retry-${status}`));
    calls[`retried ${status} helped`] = () => sdk.helped(patient, `retry-${status}`);
  }
  for (const [name, call] of Object.entries(calls)) {
    // Whatever it throws, it is what the user of the SDK would see.
    const saw = await call().catch(failure);
    console.log(JSON.stringify({ case: name, saw: saw }));
  }
}

/** The names of the responses that the provider has: `WHOLE` or `STREAMED`. */
function cases(kind) {
  return process.env[kind].split(",");
}

/** How a request says which response it wants. */
export function named(name) {
  return { headers: { "x-case": name } };
}

/** Each chunk or event, and the error if one came after some. */
async function iterated(asked) {
  const pieces = [];
  const stream = await asked;
  try {
    for await (const piece of stream) pieces.push(still(piece));
  } catch (error) {
    pieces.push(failure(error));
  }
  return pieces;
}

/** What a streaming helper says of the events with these names, and what it puts together. */
export async function helped(stream, names, final) {
  const events = [];
  for (const name of names) {
    stream.on(name, (...values) => events.push([name, still(values)]));
  }
  try {
    return { events, final: await final(stream) };
  } catch (error) {
    return { ...failure(error), events };
  }
}

async function raw(asked) {
  const { data, response, request_id } = await asked.withResponse();
  const saw = data[Symbol.asyncIterator] ? await iterated(data) : data;
  return { status: response.status, headers: headers(response.headers), request_id, saw };
}

async function lines(asked) {
  const response = await asked.asResponse();
  return { status: response.status, lines: (await response.text()).split("\n") };
}

function failure(error) {
  return {
    raised: error.constructor.name,
    message: error.message,
    status: error.status ?? null,
    body: error.error ?? null,
    type: error.type ?? null,
    code: error.code ?? null,
    request_id: error.requestID ?? null,
    headers: error.headers ? headers(error.headers) : null,
  };
}

function headers(all) {
  return Object.fromEntries(HEADERS.map((name) => [name, all.get(name)]));
}

/** As it is now: SDKs go on writing into what they have given. */
function still(value) {
  return JSON.parse(JSON.stringify(value));
}
