import { Button, Group, Text, Title } from "@mantine/core"
import { IconArrowUp, IconPlayerPause, IconPlayerPlay } from "@tabler/icons-react"
import { useMemo, useState } from "react"
import { useTranslation } from "react-i18next"

import { DataTable } from "../../parts/DataTable"
import { type Ended, useFeed } from "../../parts/feed"
import { number, timeOfDay } from "../../parts/format"
import { columnsOf, usual } from "../requests/columns"

const SHOWN = 100

interface Props {
  chosen: string
  onOpen: (id: string, push: boolean) => void
}

/** What has just ended, the latest on top. It holds still under the pointer, with the focus in it, and when paused. */
export function EndedRequests({ chosen, onOpen }: Props) {
  const { t } = useTranslation(["live", "requests"])
  const log = useTranslation("requests").t
  const ended = useFeed((feed) => feed.ended)
  const [paused, setPaused] = useState(false)
  const [held, setHeld] = useState<Ended[] | null>(null)
  const columns = useMemo(
    () =>
      columnsOf(log)
        .filter(({ id }) => usual.includes(id))
        .map((column) =>
          column.id === "time" ? { ...column, cell: (row: Ended) => timeOfDay(row.timestamp) } : column,
        ),
    [log],
  )

  const rows = (held ?? ended).slice(0, SHOWN)
  const at = held ? ended.findIndex((row) => row.request_id === held[0]?.request_id) : 0
  const fresh = at < 0 ? ended.length : at
  const hold = () => setHeld((before) => before ?? ended)
  const letGo = () => !paused && setHeld(null)
  return (
    <section aria-label={t("ended.title")}>
      <Group mb="xs" mt="xl" gap="sm" mih={30}>
        <Title order={2} size="h5">
          {t("ended.title")}
        </Title>
        <Button
          variant="default"
          size="compact-xs"
          aria-pressed={paused}
          leftSection={paused ? <IconPlayerPlay size={13} /> : <IconPlayerPause size={13} />}
          onClick={() => {
            setPaused(!paused)
            setHeld(paused ? null : ended)
          }}
        >
          {t(paused ? "ended.resume" : "ended.pause")}
        </Button>
        {fresh > 0 && (
          <Button
            variant="light"
            radius="xl"
            size="compact-sm"
            leftSection={<IconArrowUp size={14} />}
            onClick={() => setHeld(ended)}
          >
            {t("requests:fresh", { count: fresh, shown: number(fresh) })}
          </Button>
        )}
        {held && !paused && (
          <Text size="xs" c="dimmed">
            {t("ended.held")}
          </Text>
        )}
      </Group>
      <div
        onMouseEnter={hold}
        onMouseLeave={letGo}
        onFocus={hold}
        onBlur={(event) => !event.currentTarget.contains(event.relatedTarget) && letGo()}
      >
        <DataTable
          label={t("ended.title")}
          columns={columns}
          rows={rows}
          keyOf={(row) => row.request_id}
          onRow={(row) => onOpen(row.request_id, true)}
          chosen={chosen}
          empty={
            <Text size="sm" c="dimmed">
              {t("ended.none")}
            </Text>
          }
        />
      </div>
    </section>
  )
}
