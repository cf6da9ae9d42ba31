import { Group, SegmentedControl, Text } from "@mantine/core"
import { keepPreviousData } from "@tanstack/react-query"
import { useMemo } from "react"
import { useTranslation } from "react-i18next"

import { use } from "../../api/client"
import { type ColumnOf, DataTable } from "../../parts/DataTable"
import { Dot } from "../../parts/Dot"
import { absolute } from "../../parts/format"
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

const HOURS = ["1", "6", "24"]
const TOLD = 5 // stretches that a lane's description names

interface Props {
  servers: Server[] | undefined
  /** How far back, of `HOURS`. */
  hours: string
  since: (hours: string) => void
  chosen: string
  open: (id: string) => void
}
interface Row {
  server: Server
  stretches: Stretch[]
  label: string
}

/** The last hours of every server: of each step the worst state. */
export function Lanes({ servers, hours, since, chosen, open }: Props) {
  const { t, i18n } = useTranslation("fleet")
  const { data, error, refetch } = use.useQuery(
    "get",
    "/admin/api/servers/timeline",
    { params: { query: { hours: Number(hours) } } },
    { placeholderData: keepPreviousData },
  )
  const rows = useMemo(() => {
    if (!servers || !data) return undefined
    const begin = Date.parse(data.begin)
    const span = Date.parse(data.until) - begin
    const at = (share: number) => absolute(new Date(begin + share * span).toISOString(), false)
    const states = new Map(data.data.map((lane) => [lane.id, lane.states]))
    return servers.map((server): Row => {
      const letters = states.get(server.id) ?? ""
      const stretches: Stretch[] = []
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
        }
        from = until
      }
      const latest = stretches.slice(-TOLD).map(({ title }) => title)
      return { server, stretches, label: latest.join("; ") || t("lanes.unknown") }
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
      id: "state",
      title: t("stateOf"),
      width: 140,
      sort: ({ server }) => STATES.indexOf(server.state),
      cell: ({ server }) => <Dot color={COLOURS[server.state]}>{t(`state.${server.state}`)}</Dot>,
    },
    {
      id: "lane",
      title: t("lanes.title"),
      head: (
        <Group justify="space-between" wrap="nowrap">
          <span>{t("lanes.begin", { count: Number(hours) })}</span>
          <span>{t("lanes.now")}</span>
        </Group>
      ),
      cell: ({ stretches, label }) => <Lane stretches={stretches} label={label} />,
    },
  ]
  return (
    <>
      <Group gap="md" mb="xs">
        <SegmentedControl
          size="xs"
          aria-label={t("lanes.hours")}
          data={HOURS.map((value) => ({ value, label: `${value} h` }))}
          value={hours}
          onChange={since}
        />
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
