import { Alert, Button, Skeleton, Text, Tooltip } from "@mantine/core"
import { IconPlayerStop } from "@tabler/icons-react"
import { useEffect, useMemo, useState } from "react"
import { useTranslation } from "react-i18next"

import { type Shape, use } from "../../api/client"
import { useMay } from "../../app/session"
import { type ColumnOf, DataTable } from "../../parts/DataTable"
import { useFeed } from "../../parts/feed"
import { DASH, duration, number } from "../../parts/format"
import { done, failed } from "../../parts/told"
import css from "./live.module.css"
import { Phase } from "./Phase"

type One = Shape["InFlight"]
const TICK = 250 // ms

/** What every request does at this moment, and a way to end it. */
export function InFlight() {
  const { t } = useTranslation("live")
  const list = useFeed((feed) => feed.inFlight)
  const listed = useFeed((feed) => feed.listed)
  const fresh = useFeed((feed) => feed.state === "open")
  const columns = useMemo<ColumnOf<One>[]>(
    () => [
      {
        id: "age",
        title: t("columns.age"),
        cell: (row) => <Age of={row.age_ms} listed={listed} fresh={fresh} />,
        width: 90,
        right: true,
      },
      { id: "phase", title: t("columns.phase"), cell: (row) => <Phase phase={row.phase} />, width: 190 },
      { id: "project", title: t("columns.project"), cell: (row) => row.project },
      { id: "model", title: t("columns.model"), cell: (row) => row.model ?? DASH },
      { id: "server", title: t("columns.server"), cell: (row) => row.server?.name ?? row.server?.id ?? DASH },
      { id: "attempts", title: t("columns.attempts"), cell: (row) => number(row.attempts), right: true },
      { id: "ttft", title: t("columns.ttft"), cell: (row) => duration(row.ttft_ms), right: true },
      { id: "tokens", title: t("columns.tokens"), cell: (row) => number(row.tokens_output), right: true },
      {
        id: "cancel",
        title: t("columns.cancel"),
        cell: (row) => <Cancel row={row} />,
        right: true,
        width: 110,
      },
    ],
    [t, listed, fresh],
  )
  if (!list) return <Skeleton h={120} aria-label={t("loading", { ns: "shell" })} />
  return (
    <>
      {list.workers.of > list.workers.seen && (
        <Alert mb="xs" color="gray">
          {t("inFlight.workers", list.workers)}
        </Alert>
      )}
      <div className={css.inFlight} data-stale={!fresh || undefined}>
        <DataTable
          label={t("inFlight.title")}
          columns={columns}
          rows={list.data}
          keyOf={(row) => row.request_id}
          none={t("inFlight.none")}
        />
      </div>
      {list.total > list.data.length && (
        <Text size="xs" c="dimmed" mt={4}>
          {t("inFlight.more", { shown: number(list.data.length), total: number(list.total) })}
        </Text>
      )}
    </>
  )
}

/** Goes on between two lists, as long as lists come. */
function Age({ of, listed, fresh }: { of: number; listed: number; fresh: boolean }) {
  const [now, setNow] = useState(() => performance.now())
  useEffect(() => {
    if (!fresh) return
    const ticking = setInterval(() => setNow(performance.now()), TICK)
    return () => clearInterval(ticking)
  }, [fresh])
  const age = of + Math.max(0, now - listed)
  return <span className="numbers">{age < 60_000 ? `${(age / 1000).toFixed(1)} s` : duration(age)}</span>
}

function Cancel({ row }: { row: One }) {
  const { t } = useTranslation("live")
  const may = useMay("editor")
  const cancel = use.useMutation("post", "/admin/api/live/{request_id}/cancel", {
    onSuccess: () => done(t("cancel.done", { project: row.project, model: row.model ?? DASH })),
    onError: failed,
  })
  return (
    <Tooltip label={t("cancel.role")} disabled={may}>
      <Button
        variant="default"
        size="compact-xs"
        leftSection={<IconPlayerStop size={13} />}
        aria-label={t("cancel.label", { id: row.request_id })}
        data-disabled={!may || undefined}
        aria-disabled={!may}
        loading={cancel.isPending}
        disabled={row.phase === "ending"}
        onClick={() => may && cancel.mutate({ params: { path: { request_id: row.request_id } } })}
      >
        {t("cancel", { ns: "shell" })}
      </Button>
    </Tooltip>
  )
}
