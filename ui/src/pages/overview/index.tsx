import { Button, Stack, Switch } from "@mantine/core"
import { IconRocket } from "@tabler/icons-react"
import { useMemo } from "react"
import { useTranslation } from "react-i18next"
import { Link } from "react-router"

import { use } from "../../api/client"
import { Empty } from "../../parts/Empty"
import { PageHead } from "../../parts/PageHead"
import { ModelPick, ProjectPick } from "../../parts/Picks"
import { Problem } from "../../parts/Problem"
import { Range, rangeOf } from "../../parts/Range"
import { useUrl } from "../../parts/url"
import { Banners } from "./Banners"
import { Courses } from "./Courses"
import { Figures } from "./Figures"
import { pointsOf } from "./series"
import { Tops } from "./Tops"

/** How the gateway is doing, from one question to the roll-ups and two to its memory. */
export default function Overview() {
  const { t } = useTranslation("overview")
  const [url, set] = useUrl({ range: "24h", project: "", model: "", compare: "" })
  const filters = { project: url.project || undefined, model: url.model || undefined }
  const figures = use.useQuery("get", "/admin/api/stats/overview", {
    params: { query: { ...rangeOf(url.range), ...filters, compare: url.compare === "1" } },
  })
  const health = use.useQuery("get", "/v1/health", {})
  const alerts = use.useQuery("get", "/admin/api/alerts", {})
  const found = figures.data
  const points = useMemo(() => (found ? pointsOf(found) : []), [found])
  const link = (page: string, more: Record<string, string> = {}) => {
    const all = { range: url.range, project: url.project, model: url.model, ...more }
    const search = new URLSearchParams(Object.entries(all).filter(([, value]) => value))
    return `/${page}?${search.toString()}`
  }
  const refresh = () => void Promise.all([figures.refetch(), health.refetch(), alerts.refetch()])
  const none = found && !found.current.requests && !found.previous.requests

  return (
    <>
      <PageHead title={t("title")} about={t("about")}>
        <Switch
          size="xs"
          label={t("compare")}
          checked={url.compare === "1"}
          onChange={(event) => set({ compare: event.currentTarget.checked ? "1" : "" })}
        />
        <ProjectPick value={url.project} onChange={(project) => set({ project })} />
        <ModelPick value={url.model} onChange={(model) => set({ model })} />
        <Range
          value={url.range}
          onChange={(range) => set({ range })}
          refresh={refresh}
          busy={figures.isFetching}
        />
      </PageHead>
      <Banners {...{ health: health.data, alerts: alerts.data, found, link }} />
      {figures.error ? (
        <Problem error={figures.error} again={refresh} />
      ) : (
        <Stack gap="sm">
          <Figures {...{ found, points, health: health.data, link }} />
          {none && (
            <Empty icon={IconRocket} title={t("empty.title")} text={t("empty.text")}>
              <Button component={Link} to="/start" mt="xs">
                {t("empty.start")}
              </Button>
            </Empty>
          )}
          {found && !none && (
            <>
              <Courses points={points} step={found.step_s} compare={url.compare === "1"} link={link} />
              <Tops found={found} link={link} />
            </>
          )}
        </Stack>
      )}
    </>
  )
}
