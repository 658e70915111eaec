// The `openai` SDK against whatever `OPENAI_BASE_URL` says.

import OpenAI from "openai";
import { MESSAGES, SCHEMA, helped, named, tell } from "./transcript.mjs";

const NAMES = ["read_file", "delete_file"];

const EVENTS = [
  "chunk",
  "content",
  "content.delta",
  "content.done",
  "refusal.delta",
  "refusal.done",
  "tool_calls.function.arguments.delta",
  "tool_calls.function.arguments.done",
  "logprobs.content.delta",
  "logprobs.content.done",
  "logprobs.refusal.delta",
  "logprobs.refusal.done",
  "message",
  "functionToolCall",
  "functionToolCallResult",
];

const functions = (more) =>
  NAMES.map((name) => ({ type: "function", function: { name, strict: true, parameters: SCHEMA, ...more?.(name) } }));

const ask = { model: "gpt-5-mini", messages: MESSAGES, tools: functions() };

/** The helper that calls the tools and asks again, streamed. */
async function loop(client, name) {
  const called = [];
  const runnable = (tool) => ({
    parse: JSON.parse,
    function: (args) => {
      called.push([tool, args]);
      return "It rains.";
    },
  });
  const runner = client.chat.completions.runTools({ ...ask, tools: functions(runnable), stream: true }, named(name));
  const saw = await helped(runner, EVENTS, () => runner.finalChatCompletion());
  return { called, messages: runner.messages, ...saw };
}

await tell({
  client: (options) => new OpenAI(options),
  whole: (client, name) => client.chat.completions.create(ask, named(name)),
  iterated: (client, name) => client.chat.completions.create({ ...ask, stream: true }, named(name)),
  helped: (client, name) =>
    helped(client.chat.completions.stream(ask, named(name)), EVENTS, (stream) => stream.finalChatCompletion()),
  loop,
});
