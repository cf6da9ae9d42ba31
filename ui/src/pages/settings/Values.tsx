import { Badge, Button, Code, Group, SegmentedControl, Stack, Text, Tooltip } from "@mantine/core"
import { IconFileCheck } from "@tabler/icons-react"
import { useTranslation } from "react-i18next"

import { type Shape, use } from "../../api/client"
import { queries } from "../../api/queries"
import { useMay } from "../../app/session"
import { DataTable } from "../../parts/DataTable"
import { Problem } from "../../parts/Problem"
import { Search } from "../../parts/Search"
import { done, failed } from "../../parts/told"
import { useUrl } from "../../parts/url"

type Setting = Shape["SettingView"]

const text = (value: Setting["value"]) =>
  value == null || value === "" ? "–" : Array.isArray(value) ? value.join(", ") || "–" : String(value)

/** Every setting that is in force, and the place that set it. */
export function Values() {
  const { t } = useTranslation("settings")
  const may = useMay("editor")
  const [url, setUrl] = useUrl({ q: "", only: "all" })
  const { data, error, refetch } = use.useQuery("get", "/admin/api/config")
  const reload = use.useMutation("post", "/admin/api/config/reload", {
    onSuccess: () => {
      done(t("reloaded"))
      void queries.invalidateQueries()
    },
    onError: failed,
  })
  if (error) return <Problem error={error} again={() => void refetch()} />
  const shown = data?.data.filter(
    (one) =>
      (url.only === "all" || one.source !== "default") &&
      `${one.name} ${text(one.value)} ${one.source}`.toLowerCase().includes(url.q.toLowerCase()),
  )
  return (
    <Stack gap="sm">
      <Group justify="space-between">
        <Group>
          <Search label={t("search")} value={url.q} onChange={(q) => setUrl({ q })} />
          <SegmentedControl
            size="xs"
            aria-label={t("only")}
            value={url.only}
            onChange={(only) => setUrl({ only })}
            data={[
              { value: "all", label: t("all") },
              { value: "set", label: t("set") },
            ]}
          />
        </Group>
        {data?.file && (
          <Tooltip label={t("reloadAbout")}>
            <Button
              variant="default"
              leftSection={<IconFileCheck size={15} />}
              loading={reload.isPending}
              disabled={!may}
              onClick={() => reload.mutate({})}
            >
              {t("reload")}
            </Button>
          </Tooltip>
        )}
      </Group>
      <Text size="xs" c="dimmed">
        {data?.file ? t("fileIs", { file: data.file }) : t("noFile")}
      </Text>
      <DataTable<Setting>
        label={t("tabs.values")}
        rows={shown}
        keyOf={({ name }) => name}
        columns={[
          { id: "name", title: t("name"), sort: (one) => one.name, cell: (one) => <Code>{one.name}</Code> },
          {
            id: "value",
            title: t("value"),
            cell: (one) => (
              <Text size="sm" className="breaks">
                {text(one.value)}
              </Text>
            ),
          },
          {
            id: "source",
            title: t("source"),
            sort: (one) => one.source,
            cell: (one) => <Badge color={one.source === "default" ? "gray" : "brand"}>{one.source}</Badge>,
          },
        ]}
      />
    </Stack>
  )
}
