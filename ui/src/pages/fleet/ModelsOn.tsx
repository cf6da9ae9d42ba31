import { Anchor, Text } from "@mantine/core"
import { useTranslation } from "react-i18next"
import { Link } from "react-router"

import type { Shape } from "../../api/client"
import { type ColumnOf, DataTable } from "../../parts/DataTable"
import { Dot } from "../../parts/Dot"
import { duration, number, percent } from "../../parts/format"

type Model = Shape["ModelOnServer"]
const COLOURS: Record<Model["state"], string> = {
  healthy: "teal.6",
  returning: "lime.6",
  busy: "yellow.6",
  resting: "orange.6",
  quarantined: "red.6",
  unknown: "blue.4",
}

/** The models on one server, and how each fares there. */
export function ModelsOn({ rows }: { rows: Model[] | undefined }) {
  const { t } = useTranslation("fleet")
  const columns: ColumnOf<Model>[] = [
    {
      id: "name",
      title: t("model.name"),
      sort: ({ name }) => name,
      cell: (row) => (
        <>
          <Anchor
            component={Link}
            size="sm"
            ff="monospace"
            to={`/models?${new URLSearchParams({ tab: "catalogue", name: row.name })}`}
          >
            {row.name}
          </Anchor>
          <Text size="xs" c="dimmed" ff="monospace">
            {[row.digest?.slice(0, 12), row.parameter_size, row.quantization].filter(Boolean).join(" · ")}
          </Text>
        </>
      ),
    },
    {
      id: "state",
      title: t("stateOf"),
      sort: ({ state }) => state,
      cell: (row) => (
        <>
          <Dot color={COLOURS[row.state]}>{t(`model.state.${row.state}`)}</Dot>
          {(row.reason || row.rests_for_s != null) && (
            <Text size="xs" c="dimmed" maw={260}>
              {[
                row.reason,
                row.rests_for_s != null &&
                  t("nextLook", { time: duration(Math.max(0, row.rests_for_s) * 1000) }),
              ]
                .filter(Boolean)
                .join(" · ")}
            </Text>
          )}
        </>
      ),
    },
    {
      id: "success",
      title: t("success"),
      right: true,
      sort: (row) => row.success_rate,
      cell: (row) => percent(row.success_rate),
    },
    {
      id: "first",
      title: t("first"),
      right: true,
      sort: (row) => row.first_token_s,
      cell: (row) => duration(row.first_token_s && row.first_token_s * 1000),
    },
    {
      id: "speed",
      title: t("speed"),
      right: true,
      sort: (row) => row.tokens_per_second,
      cell: (row) => number(row.tokens_per_second, 1),
    },
    {
      id: "load",
      title: t("load"),
      right: true,
      cell: (row) => `${number(row.in_flight)} / ${number(row.limit)}`,
    },
    {
      id: "warm",
      title: t("model.warm"),
      cell: (row) => (row.warm == null ? "–" : t(row.warm ? "yes" : "no")),
    },
  ]
  return (
    <DataTable label={t("models")} columns={columns} rows={rows} keyOf={({ name }) => name} sortedBy="name" />
  )
}
