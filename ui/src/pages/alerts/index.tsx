import { Badge, Button, Tabs, Text } from "@mantine/core"
import { IconPlus, IconRefresh } from "@tabler/icons-react"
import { useQueryClient } from "@tanstack/react-query"
import { useState } from "react"
import { useTranslation } from "react-i18next"

import { api, use } from "../../api/client"
import { Confirm } from "../../parts/Confirm"
import { Gate } from "../../parts/Gate"
import { PageHead } from "../../parts/PageHead"
import { Problem } from "../../parts/Problem"
import { done, failed } from "../../parts/told"
import { useUrl } from "../../parts/url"
import { When } from "../../parts/When"
import { Notices } from "./Notices"
import { Now } from "./Now"
import { RuleForm } from "./RuleForm"
import { RuleTable, type What } from "./RuleTable"
import { RuleTest } from "./RuleTest"
import type { Rule } from "./shapes"

type Open = { what: "new" } | { what: What; rule: Rule }

/** What needs somebody's attention, what is watched, and who is told. Rules come from memory, alerts by one query. */
export default function Alerts() {
  const { t } = useTranslation("alerts")
  const [url, set] = useUrl({ tab: "now" })
  const queries = useQueryClient()
  const [open, setOpen] = useState<Open | null>(null)
  const alerts = use.useQuery("get", "/admin/api/alerts")
  const rules = use.useQuery("get", "/admin/api/alerts/rules", {}, { enabled: url.tab !== "now" })
  const close = () => setOpen(null)
  const changed = () =>
    Promise.all(
      (["/admin/api/alerts/rules", "/admin/api/alerts"] as const).map((path) =>
        queries.invalidateQueries({ queryKey: ["get", path] }),
      ),
    )
  const named = (rule: Rule) => ({ params: { path: { name: rule.name } } })
  const refresh = () => void Promise.all([alerts.refetch(), url.tab !== "now" && rules.refetch()])

  async function watch(rule: Rule, enabled: boolean) {
    try {
      await api.PATCH("/admin/api/alerts/rules/{name}", { ...named(rule), body: { enabled } })
      await changed()
      done(t(enabled ? "watched" : "paused", { name: rule.name }))
    } catch (problem) {
      failed(problem)
    }
  }
  async function remove(rule: Rule) {
    await api.DELETE("/admin/api/alerts/rules/{name}", named(rule))
    await changed()
    done(t(rule.changes_built_in ? "restored" : "deleted", { name: rule.name }))
  }

  const firing = alerts.data?.data.filter(({ state }) => state === "firing").length ?? 0
  const error = url.tab === "now" ? alerts.error : (rules.error ?? alerts.error)
  return (
    <>
      <PageHead title={t("title")} about={t("about")}>
        {alerts.data && (
          <Text size="xs" c="dimmed">
            {alerts.data.looked_at ? t("looked") : t("notLooked")} <When at={alerts.data.looked_at} />
          </Text>
        )}
        <Button
          variant="default"
          leftSection={<IconRefresh size={15} />}
          onClick={refresh}
          loading={alerts.isFetching}
        >
          {t("refresh", { ns: "shell" })}
        </Button>
        <Gate>
          {(disabled) => (
            <Button
              leftSection={<IconPlus size={15} />}
              disabled={disabled}
              onClick={() => {
                set({ tab: "rules" })
                setOpen({ what: "new" })
              }}
            >
              {t("new")}
            </Button>
          )}
        </Gate>
      </PageHead>
      <Tabs value={url.tab} onChange={(tab) => set({ tab: tab ?? "now" })} keepMounted={false}>
        <Tabs.List mb="md">
          <Tabs.Tab value="now" rightSection={firing > 0 && <Badge color="red">{firing}</Badge>}>
            {t("tabs.now")}
          </Tabs.Tab>
          <Tabs.Tab value="rules">{t("tabs.rules")}</Tabs.Tab>
          <Tabs.Tab value="notices">{t("tabs.notices")}</Tabs.Tab>
        </Tabs.List>
        {error ? (
          <Problem error={error} again={refresh} />
        ) : (
          <>
            <Tabs.Panel value="now">
              <Now found={alerts.data} />
            </Tabs.Panel>
            <Tabs.Panel value="rules">
              <RuleTable
                rules={rules.data?.data}
                onChoose={(what, rule) => setOpen({ what, rule })}
                onSwitch={(rule, enabled) => void watch(rule, enabled)}
              />
            </Tabs.Panel>
            <Tabs.Panel value="notices">
              <Notices webhooks={rules.data?.webhooks} found={alerts.data} />
            </Tabs.Panel>
          </>
        )}
      </Tabs>
      {(open?.what === "new" || open?.what === "edit") && rules.data && (
        <RuleForm
          rule={open.what === "edit" ? open.rule : undefined}
          metrics={rules.data.metrics}
          onClose={close}
          onChanged={changed}
        />
      )}
      {open?.what === "test" && <RuleTest rule={open.rule} onClose={close} />}
      {open?.what === "delete" && (
        <Confirm
          opened
          onClose={close}
          title={t(open.rule.changes_built_in ? "restoreTitle" : "deleteTitle", { name: open.rule.name })}
          text={t(open.rule.changes_built_in ? "restoreText" : "deleteText")}
          action={open.rule.changes_built_in ? t("menu.restore") : t("delete", { ns: "shell" })}
          onAction={() => remove(open.rule)}
        />
      )}
    </>
  )
}
