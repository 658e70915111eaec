// The `openai` SDK's Responses against whatever `OPENAI_BASE_URL` says.

import OpenAI from "openai";
import { MESSAGES, SCHEMA, helped, named, tell } from "./transcript.mjs";

const TOOLS = ["read_file", "delete_file"].map((name) => ({ type: "function", name, strict: true, parameters: SCHEMA }));

const ask = { model: "codex-mini", input: MESSAGES, tools: TOOLS };

const streamed = (client, asked, name) =>
  helped(client.responses.stream(asked, named(name)), ["event"], (stream) => stream.finalResponse());

/** Answers the calls, and goes on behind the response, streamed. */
async function loop(client, name) {
  const first = await streamed(client, ask, name);
  const calls = first.final.output.filter((item) => item.type === "function_call");
  if (calls.length === 0) return { called: [], first };
  const outputs = calls.map(({ call_id }) => ({ type: "function_call_output", call_id, output: "It rains." }));
  const second = await streamed(client, { ...ask, previous_response_id: first.final.id, input: outputs }, name);
  return { called: calls.map((call) => [call.name, JSON.parse(call.arguments)]), first, ...second };
}

await tell({
  client: (options) => new OpenAI(options),
  whole: (client, name) => client.responses.create(ask, named(name)),
  iterated: (client, name) => client.responses.create({ ...ask, stream: true }, named(name)),
  helped: (client, name) => streamed(client, ask, name),
  loop,
});
