import { ActionIcon, Button, SegmentedControl, Tooltip } from "@mantine/core"
import { IconPlus, IconRefresh } from "@tabler/icons-react"
import { useMemo, useState } from "react"
import { useTranslation } from "react-i18next"

import { use } from "../../api/client"
import { useMay } from "../../app/session"
import { useFeed } from "../../parts/feed"
import { PageHead } from "../../parts/PageHead"
import { Problem } from "../../parts/Problem"
import { useUrl } from "../../parts/url"
import { AddServer } from "./AddServer"
import { Bulk } from "./Bulk"
import { Detail } from "./Detail"
import { Filters } from "./Filters"
import { current, DEFAULTS, matching } from "./matching"
import { Lanes } from "./Lanes"
import { Matrix } from "./Matrix"
import { Servers } from "./Servers"
import { Sources } from "./Sources"
import { States } from "./States"

const VIEWS = ["table", "lanes", "matrix", "sources"] as const

export default function Fleet() {
  const { t } = useTranslation("fleet")
  const [asked, set] = useUrl(DEFAULTS)
  const url = { ...asked, view: VIEWS.find((view) => view === asked.view) ?? "table" }
  const may = useMay("editor")
  const [picked, pick] = useState<ReadonlySet<string>>(new Set())
  const { data, error, refetch, isFetching, dataUpdatedAt } = use.useQuery("get", "/admin/api/servers")
  const changes = useFeed((feed) => feed.changes)
  const all = useMemo(
    () => data && current(data.data, changes, dataUpdatedAt),
    [data, changes, dataUpdatedAt],
  )
  const rows = useMemo(() => all && matching(all, url), [all, url])
  const shown = rows?.filter(({ state }) => !url.state || state === url.state)
  const inSight = shown?.filter(({ id }) => picked.has(id)) ?? []

  return (
    <>
      <PageHead title={t("title")} about={t("about")}>
        <SegmentedControl
          size="xs"
          aria-label={t("view")}
          data={VIEWS.map((value) => ({ value, label: t(`views.${value}`) }))}
          value={url.view}
          onChange={(view) => set({ view })}
        />
        <Tooltip label={t("refresh", { ns: "shell" })}>
          <ActionIcon
            variant="default"
            size={30}
            aria-label={t("refresh", { ns: "shell" })}
            loading={isFetching}
            onClick={() => void refetch()}
          >
            <IconRefresh size={15} />
          </ActionIcon>
        </Tooltip>
        <Button leftSection={<IconPlus size={15} />} disabled={!may} onClick={() => set({ add: "1" })}>
          {t("add.open")}
        </Button>
      </PageHead>
      {error && <Problem error={error} again={() => void refetch()} />}
      {!error && url.view !== "sources" && (
        <>
          <States rows={rows} chosen={url.state} choose={(state) => set({ state })} />
          <Filters all={all} url={url} set={set} />
        </>
      )}
      {!error && url.view === "table" && (
        <>
          <Servers
            rows={shown}
            total={all?.length}
            chosen={url.id}
            open={(id) => set({ id })}
            picked={picked}
            pick={pick}
            may={may}
            clear={() => set({ q: "", state: "", trust: "", source: "", kind: "", country: "", model: "" })}
            add={() => set({ add: "1" })}
          />
          {inSight.length > 0 && <Bulk servers={inSight} clear={() => pick(new Set())} />}
        </>
      )}
      {!error && url.view === "lanes" && (
        <Lanes
          servers={shown}
          hours={url.hours}
          since={(hours) => set({ hours })}
          open={(id) => set({ id })}
          chosen={url.id}
        />
      )}
      {!error && url.view === "matrix" && (
        <Matrix
          servers={shown}
          words={url.models}
          search={(models) => set({ models })}
          open={(id) => set({ id })}
        />
      )}
      {url.view === "sources" && <Sources look={(source) => set({ view: "table", source })} />}
      <Detail id={url.id} row={all?.find(({ id }) => id === url.id)} onClose={() => set({ id: "" })} />
      {url.add && <AddServer onClose={() => set({ add: "" })} added={(id) => set({ add: "", id })} />}
    </>
  )
}
