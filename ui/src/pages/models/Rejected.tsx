import { Anchor, Text } from "@mantine/core"
import { useTranslation } from "react-i18next"
import { Link } from "react-router"

import type { Shape } from "../../api/client"
import { type ColumnOf, DataTable } from "../../parts/DataTable"
import { Dot } from "../../parts/Dot"
import { DASH, duration } from "../../parts/format"
import { say } from "../../parts/said"

type Candidate = Shape["Candidate"]
const colours: Record<string, string> = { resting: "orange", quarantined: "red", disabled: "gray" }

/** Those that hold it and would not be asked: why, and until when. */
export function Rejected({ rows, several }: { rows: Candidate[]; several: boolean }) {
  const { t } = useTranslation("models")
  const columns: ColumnOf<Candidate>[] = [
    {
      id: "server",
      title: t("explain.server"),
      cell: (row) => (
        <>
          <Anchor component={Link} to={`/fleet?id=${encodeURIComponent(row.server_id)}`} size="sm">
            {row.server}
          </Anchor>
          {several && (
            <Text size="xs" c="dimmed">
              {row.model}
            </Text>
          )}
        </>
      ),
    },
    {
      id: "standing",
      title: t("explain.state"),
      cell: (row) => <Dot color={colours[row.standing] ?? "gray"}>{t(`standing.${row.standing}`)}</Dot>,
    },
    {
      id: "reason",
      title: t("explain.reason"),
      cell: (row) => <Text size="sm">{row.reason_said ? say(row.reason_said) : DASH}</Text>,
    },
    {
      id: "again",
      title: t("explain.next"),
      right: true,
      cell: (row) => (row.again_in_s == null ? "–" : duration(row.again_in_s * 1000)),
    },
  ]
  return (
    <>
      <Text size="xs" c="dimmed" fw={500} mt="sm">
        {t("explain.rejected")}
      </Text>
      <DataTable
        label={t("explain.rejected")}
        columns={columns}
        rows={rows}
        keyOf={(row) => `${row.server_id} ${row.model}`}
      />
    </>
  )
}
