import { Group, Text } from "@mantine/core"
import { useMemo } from "react"
import { useTranslation } from "react-i18next"

import { use } from "../../api/client"
import { type ColumnOf, DataTable } from "../../parts/DataTable"
import { Dot } from "../../parts/Dot"
import { absolute, percent } from "../../parts/format"
import { Problem } from "../../parts/Problem"
import { Lane, type Stretch } from "./Lane"
import { COLOURS, type Server, type State, STATES } from "./shapes"

const LETTERS: Record<string, State> = {
  h: "healthy",
  u: "unknown",
  r: "resting",
  q: "quarantined",
  d: "disabled",
}

interface Props {
  servers: Server[] | undefined
  chosen: string
  open: (id: string) => void
}
interface Row {
  server: Server
  stretches: Stretch[]
  /** Share of the known time in which it was healthy. */
  healthy: number | null
  label: string
}

/** The last 24 hours of every server. */
export function Lanes({ servers, chosen, open }: Props) {
  const { t, i18n } = useTranslation("fleet")
  const { data, error, refetch } = use.useQuery("get", "/admin/api/servers/timeline")
  const rows = useMemo(() => {
    if (!servers || !data) return undefined
    const begin = Date.parse(data.begin)
    const span = Date.parse(data.until) - begin
    const at = (share: number) => absolute(new Date(begin + share * span).toISOString(), false)
    const states = new Map(data.data.map((lane) => [lane.id, lane.states]))
    return servers.map((server): Row => {
      const letters = states.get(server.id) ?? ""
      const stretches: Stretch[] = []
      const counts = new Map<State, number>()
      for (let from = 0; from < letters.length;) {
        let until = from + 1
        while (letters[until] === letters[from]) until++
        const state = LETTERS[letters[from]!]
        if (state) {
          const [x, y] = [from / letters.length, until / letters.length]
          stretches.push({
            from: x,
            until: y,
            state,
            title: `${t(`state.${state}`)}: ${at(x)} – ${at(y)}`,
          })
          counts.set(state, (counts.get(state) ?? 0) + until - from)
        }
        from = until
      }
      const known = [...counts.values()].reduce((sum, each) => sum + each, 0)
      return {
        server,
        stretches,
        healthy: known ? (counts.get("healthy") ?? 0) / known : null,
        label: known
          ? STATES.filter((state) => counts.has(state))
              .map((state) => `${t(`state.${state}`)} ${percent(counts.get(state)! / known, 0)}`)
              .join(", ")
          : t("lanes.unknown"),
      }
    })
  }, [servers, data, t, i18n.language])
  if (error) return <Problem error={error} again={() => void refetch()} />

  const columns: ColumnOf<Row>[] = [
    {
      id: "name",
      title: t("name"),
      width: 220,
      sort: ({ server }) => server.name,
      cell: ({ server }) => (
        <Text size="sm" truncate maw={220}>
          {server.name}
        </Text>
      ),
    },
    {
      id: "healthy",
      title: t("lanes.healthy"),
      right: true,
      width: 110,
      sort: ({ healthy }) => healthy,
      cell: ({ healthy }) => percent(healthy, 0),
    },
    {
      id: "lane",
      title: t("lanes.title"),
      head: (
        <Group justify="space-between" wrap="nowrap">
          <span>{t("lanes.begin")}</span>
          <span>{t("lanes.now")}</span>
        </Group>
      ),
      cell: ({ stretches, label }) => <Lane stretches={stretches} label={label} />,
    },
  ]
  return (
    <>
      <Group gap="md" mb="xs">
        {STATES.map((state) => (
          <Text key={state} size="xs" component="span">
            <Dot color={COLOURS[state]}>{t(`state.${state}`)}</Dot>
          </Text>
        ))}
        {data?.since && (
          <Text size="xs" c="dimmed">
            {t("lanes.since", { time: absolute(data.since, false) })}
          </Text>
        )}
      </Group>
      <DataTable
        label={t("lanes.title")}
        columns={columns}
        rows={rows}
        keyOf={({ server }) => server.id}
        onRow={({ server }) => open(server.id)}
        chosen={chosen || undefined}
        sortedBy="name"
      />
    </>
  )
}
