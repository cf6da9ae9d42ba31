import { Group, Text } from "@mantine/core"
import { useTranslation } from "react-i18next"

import type { Row } from "./filters"
import css from "./requests.module.css"

type Ended = Pick<Row, "status" | "outcome" | "error_code">

/** How it went, in one word for the colour: never by colour alone. */
export function toneOf({
  status,
  outcome,
}: Pick<Row, "status" | "outcome">): "good" | "left" | "blamed" | "bad" {
  if (outcome === "client_closed") return "left"
  if (status < 400) return "good"
  return status < 500 ? "blamed" : "bad"
}

/** The status of a request, and the error's code where there is one. */
export function Status({ row, long }: { row: Ended; long?: boolean }) {
  const { t } = useTranslation("requests")
  return (
    <Group gap={7} wrap="nowrap" component="span" display="inline-flex">
      <span className={css.dot} data-tone={toneOf(row)} aria-hidden />
      <Text span size="sm" className="numbers">
        {row.status}
      </Text>
      {(long || row.outcome !== "ok") && (
        <Text span size="xs" c="dimmed" truncate maw={190}>
          {row.error_code ?? t(`outcomes.${row.outcome}`)}
        </Text>
      )}
    </Group>
  )
}
