import OpenAI from "openai";
import { answer, follow, silence } from "./told.mjs";

const ai = ({ url, key, headers }) =>
  new OpenAI({ baseURL: `${url}/v1`, apiKey: key, defaultHeaders: headers, maxRetries: 0 });

const asked = ({ ask }) => ({
  model: ask.model,
  messages: ask.messages,
  max_tokens: ask.max_tokens,
  ...(ask.tools.length ? { tools: ask.tools } : {}),
  ...(ask.schema
    ? { response_format: { type: "json_schema", json_schema: { name: "answer", schema: ask.schema } } }
    : {}),
  ...(ask.think ? { reasoning_effort: "high" } : {}),
});

const called = (call) => ({ id: call.id, name: call.function.name, arguments: JSON.parse(call.function.arguments) });

function hear(said, chunk) {
  if (chunk.usage) said.tokens = chunk.usage.completion_tokens;
  for (const { delta, finish_reason } of chunk.choices) {
    said.finish = finish_reason ?? said.finish;
    said.thinking += delta.reasoning ?? "";
    if (delta.content) {
      said.text += delta.content;
      said.pieces += 1;
    }
    said.calls.push(...(delta.tool_calls ?? []).map(called));
  }
}

await answer({
  async models(order) {
    return (await ai(order).models.list()).data.map((model) => model.id);
  },
  async chat(order) {
    const whole = await ai(order).chat.completions.create(asked(order));
    const { message, finish_reason } = whole.choices[0];
    return {
      ...silence(),
      text: message.content ?? "",
      thinking: message.reasoning ?? "",
      calls: (message.tool_calls ?? []).map(called),
      finish: finish_reason,
      tokens: whole.usage.completion_tokens,
    };
  },
  async stream(order) {
    const stream = await ai(order).chat.completions.create({
      ...asked(order),
      stream: true,
      stream_options: { include_usage: true },
    });
    return follow(stream, hear, order.leave_after, () => stream.controller.abort());
  },
  async embed(order) {
    const rows = await ai(order).embeddings.create({ model: "embed", input: order.texts });
    return rows.data.map((row) => row.embedding);
  },
});
