import { Badge, Group, Text, Tooltip } from "@mantine/core"
import type { TFunction } from "i18next"

import type { ColumnOf } from "../../parts/DataTable"
import { compact, cost, DASH, duration } from "../../parts/format"
import { When } from "../../parts/When"
import type { Row } from "./filters"
import { Status } from "./Status"

/** Those of the table before somebody chose. */
export const usual = ["time", "status", "project", "model", "server", "attempts", "ttft", "latency", "tokens"]

const short = (text: string | null | undefined, width = 220) => (
  <Text span size="sm" truncate maw={width} display="block" title={text ?? undefined}>
    {text ?? DASH}
  </Text>
)

/** Tokens are marked where the gateway counted them itself, for the server did not say. */
export const tokens = (row: Pick<Row, "tokens_input" | "tokens_output" | "tokens_estimated">) =>
  `${row.tokens_estimated ? "≈ " : ""}${compact(row.tokens_input)} → ${compact(row.tokens_output)}`

export function columnsOf(t: TFunction<"requests">): ColumnOf<Row>[] {
  const column = (id: string, cell: ColumnOf<Row>["cell"], more: Partial<ColumnOf<Row>> = {}) => ({
    id,
    title: t(`columns.${id}`),
    cell,
    ...more,
  })
  return [
    column("time", (row) => <When at={row.timestamp} />),
    column("status", (row) => <Status row={row} />),
    column("project", (row) => short(row.project ?? row.project_id, 140)),
    column("key", (row) => short(row.key ?? row.key_id, 140)),
    column("endpoint", (row) => short(row.endpoint)),
    column("model", (row) => short(row.model)),
    column("backend_model", (row) => short(row.backend_model)),
    column("server", (row) => short(row.server ?? row.server_id, 170)),
    column("tier", (row) => (row.tier ? t(`tiers.${row.tier}`) : DASH)),
    column("stream", (row) => t(row.stream ? "yes" : "no")),
    column("attempts", (row) => <Attempts row={row} t={t} />, { right: true }),
    column("ttft", (row) => duration(row.ttft_ms), { right: true }),
    column("latency", (row) => duration(row.latency_ms), { right: true }),
    column("speed", (row) => speed(row), { right: true }),
    column("tokens", (row) => <span className="numbers">{tokens(row)}</span>, { right: true }),
    column("cost", (row) => cost(row.cost), { right: true }),
    column("finish_reason", (row) => short(row.finish_reason)),
    column("end_user", (row) => short(row.end_user)),
    column("correlation_id", (row) => short(row.correlation_id)),
    column("project_context", (row) => short(row.project_context)),
  ]
}

function Attempts({ row, t }: { row: Row; t: TFunction<"requests"> }) {
  const saved = row.failovers > 0 && row.status < 400
  return (
    <Group gap={6} justify="flex-end" wrap="nowrap">
      {saved && (
        <Tooltip label={t("savedAbout", { count: row.failovers })}>
          <Badge variant="dot" color="teal" size="sm" tabIndex={0}>
            {t("saved")}
          </Badge>
        </Tooltip>
      )}
      {row.continuations > 0 && (
        <Tooltip label={t("continuedAbout", { count: row.continuations })}>
          <Badge variant="dot" color="blue" size="sm" tabIndex={0}>
            {t("continued")}
          </Badge>
        </Tooltip>
      )}
      <span>{row.attempts}</span>
    </Group>
  )
}

/** Tokens a second, once they came. */
export function speedOf(row: Pick<Row, "ttft_ms" | "latency_ms" | "tokens_output">): number | null {
  const seconds = row.ttft_ms == null ? 0 : (row.latency_ms - row.ttft_ms) / 1000
  return seconds > 0.02 && row.tokens_output > 1 ? row.tokens_output / seconds : null
}
const speed = (row: Row) => {
  const value = speedOf(row)
  return value == null ? DASH : compact(value)
}
