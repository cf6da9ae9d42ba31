import { Anchor, Box, Group, Text, Tooltip } from "@mantine/core"
import { useTranslation } from "react-i18next"
import { Link } from "react-router"

import type { Shape } from "../../api/client"
import { type ColumnOf, DataTable } from "../../parts/DataTable"
import { Dot } from "../../parts/Dot"
import { duration, number, percent } from "../../parts/format"
import { say } from "../../parts/said"

type Candidate = Shape["Candidate"]
const colours: Record<string, string> = { usable: "teal", returning: "lime", doubted: "yellow" }

/** A figure that was measured, or the guess that stands for it. */
function Figure({ text, known }: { text: string; known: boolean }) {
  const { t } = useTranslation("models")
  return known ? (
    <>{text}</>
  ) : (
    <Tooltip label={t("explain.guess")}>
      <Text span inherit c="dimmed" tabIndex={0}>
        ~{text}
      </Text>
    </Tooltip>
  )
}

/** Those that may be asked, in the order in which the fleet would choose, with what each is judged by. */
export function Candidates({ rows, several }: { rows: Candidate[]; several: boolean }) {
  const { t } = useTranslation("models")
  const place = new Map(rows.map((row, at) => [row, at + 1]))
  const worst = Math.max(...rows.map(({ cost }) => Math.sqrt(cost)))
  const columns: ColumnOf<Candidate>[] = [
    { id: "place", title: "#", cell: (row) => place.get(row), width: 30 },
    {
      id: "server",
      title: t("explain.server"),
      cell: (row) => (
        <>
          <Anchor component={Link} to={`/fleet?id=${encodeURIComponent(row.server_id)}`} size="sm">
            {row.server}
          </Anchor>
          <Text size="xs" c="dimmed">
            {t(`trust.${row.trust}`, { ns: "models" })}
            {several && (
              <>
                {" · "}
                {row.preference}. <span>{row.model}</span>
              </>
            )}
          </Text>
        </>
      ),
    },
    {
      id: "standing",
      title: t("explain.state"),
      cell: (row) => (
        <Tooltip
          label={row.reason_said && say(row.reason_said)}
          disabled={!row.reason_said}
          multiline
          maw={300}
        >
          <span tabIndex={row.reason_said ? 0 : undefined}>
            <Dot color={colours[row.standing] ?? "blue"}>{t(`standing.${row.standing}`)}</Dot>
          </span>
        </Tooltip>
      ),
    },
    {
      id: "success",
      title: t("explain.success"),
      right: true,
      cell: (row) => <Figure text={percent(row.success_rate)} known={row.success_rate_known} />,
    },
    {
      id: "first",
      title: t("explain.first"),
      right: true,
      cell: (row) => <Figure text={duration(row.first_token_s * 1000)} known={row.first_token_known} />,
    },
    {
      id: "speed",
      title: t("explain.speed"),
      right: true,
      cell: (row) => <Figure text={number(row.tokens_per_second, 1)} known={row.tokens_per_second_known} />,
    },
    {
      id: "load",
      title: t("explain.load"),
      right: true,
      cell: (row) => `${number(row.in_flight)} / ${number(row.limit)}`,
    },
    {
      id: "warm",
      title: t("explain.warm"),
      cell: (row) => (row.warm == null ? "–" : t(row.warm ? "explain.yes" : "explain.no")),
    },
    {
      id: "cost",
      title: t("explain.cost"),
      right: true,
      cell: (row) => (
        <Group gap={6} wrap="nowrap" justify="flex-end">
          <Box w={36} h={5} bdrs="xl" bg="var(--mantine-color-default-border)" aria-hidden>
            <Box
              h="100%"
              w={`${worst ? Math.max(4, (Math.sqrt(row.cost) / worst) * 100) : 4}%`}
              bdrs="xl"
              bg="var(--mantine-primary-color-filled)"
            />
          </Box>
          {row.cost.toPrecision(2)}
        </Group>
      ),
    },
  ]
  return (
    <DataTable
      label={t("explain.candidates")}
      columns={columns}
      rows={rows}
      keyOf={(row) => `${row.server_id} ${row.model}`}
    />
  )
}
