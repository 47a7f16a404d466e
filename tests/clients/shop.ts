// A program that uses the generated types; `tests/e2e/test_clients.py` compiles it.
import type { components, operations, paths } from "./recserve";

type Schemas = components["schemas"];

const ROOT = "http://127.0.0.1:8000";

async function call<Body, Answer>(method: string, path: keyof paths, body: Body): Promise<Answer> {
  const reply = await fetch(ROOT + path, {
    method,
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!reply.ok) {
    const { error } = (await reply.json()) as Schemas["ErrorAnswer"];
    throw new Error(`${error.code} at ${error.field ?? "the body"}: ${error.message}`);
  }
  return (await reply.json()) as Answer;
}

export async function titles(query: string): Promise<string[]> {
  const request: Schemas["RecommendRequest"] = {
    query,
    user_id: 7,
    intent: { sort: "newest", filters: { categories: { any: ["Comedy"] } } },
    exclude_seen: { events: ["purchase"], within: "30d" },
    max_per: { title: 1 },
    context: { device: "phone", hour: 14 },
  };
  const answer = await call<typeof request, Schemas["Answer"]>("POST", "/recommend", request);
  const kind: "hit" | "miss" | "coalesced" | "bypass" = answer.cache;
  console.log(kind, answer.intent?.sort, answer.timings_ms.total, answer.passing ?? "all");
  return answer.items.map((item) => item.title ?? item.id);
}

export async function bought(item: Schemas["RankedItem"]): Promise<number> {
  const event: Schemas["SentEvent"] = { session_id: "s1", item_id: item.id, event: "purchase" };
  const done = await call<Schemas["SentEvent"][], Schemas["EventsAnswer"]>("POST", "/events", [event]);
  for (const remark of done.rejected) console.error(remark.index, remark.field, remark.message);
  return done.accepted;
}

export async function arrived(): Promise<number> {
  const item: Schemas["SentItem"] = { id: "n1", title: "Lamp", price: 12.5, colours: ["red"] };
  const body: Schemas["ItemBatch"] = { items: [item] };
  const done = await call<typeof body, Schemas["ItemsAnswer"]>("PUT", "/items", body);
  return done.generation.catalogue;
}

export type NotFound =
  operations["get_item"]["responses"][404]["content"]["application/json"]["error"]["code"];

// What is wrong does not compile.
// @ts-expect-error: no such field
export const slip: Schemas["RecommendRequest"] = { quary: "x" };
// @ts-expect-error: no such order
export const order: Schemas["SentIntent"] = { sort: "best" };
// @ts-expect-error: an event needs an item
export const nothing: Schemas["SentEvent"] = { user_id: "7" };
