import { Button, Group, Text } from "@mantine/core"
import { useQueryClient } from "@tanstack/react-query"
import { useState } from "react"
import { useTranslation } from "react-i18next"

import { api } from "../../api/client"
import { useMay } from "../../app/session"
import { Confirm } from "../../parts/Confirm"
import { number } from "../../parts/format"
import { done, failed } from "../../parts/told"
import classes from "./fleet.module.css"
import { type Action, changed, type Server } from "./shapes"

const ACTIONS: Action[] = ["probe", "enable", "drain", "disable"]
const MOST = 500 // servers of one request

/** What is done to all that are picked. */
export function Bulk({ servers, clear }: { servers: Server[]; clear: () => void }) {
  const { t } = useTranslation("fleet")
  const queries = useQueryClient()
  const may = useMay("editor")
  const [busy, setBusy] = useState<Action | "">("")
  const [asked, ask] = useState<Action | "">("")

  async function act(action: Action) {
    setBusy(action)
    try {
      const ids = servers.slice(0, MOST).map(({ id }) => id)
      const { data } = await api.POST("/admin/api/servers/bulk", { body: { ids, action } })
      if (data!.ok) done(t(`bulk.done.${action}`, { count: data!.ok }))
      const first = data!.data.find(({ ok }) => !ok)
      if (first)
        failed({
          message: t("bulk.failed", {
            count: data!.failed,
            name: first.name ?? first.server,
            why: first.message || first.code,
          }),
        })
      await changed(queries)
    } catch (error) {
      failed(error)
    } finally {
      setBusy("")
    }
  }

  return (
    <Group className={classes.bulk} gap="xs" role="toolbar" aria-label={t("bulk.title")}>
      <Text size="sm" role="status">
        {t("bulk.picked", { count: servers.length, shown: number(servers.length) })}
      </Text>
      {ACTIONS.map((action) => (
        <Button
          key={action}
          variant="default"
          disabled={!may || busy !== ""}
          loading={busy === action}
          onClick={() => (action === "drain" || action === "disable" ? ask(action) : void act(action))}
        >
          {t(`action.${action}`)}
        </Button>
      ))}
      <Button variant="subtle" onClick={clear}>
        {t("bulk.clear")}
      </Button>
      <Confirm
        opened={asked !== ""}
        onClose={() => ask("")}
        title={t(`bulk.ask.${asked || "drain"}`, { count: servers.length, shown: number(servers.length) })}
        text={t("bulk.askText")}
        action={t(`action.${asked || "drain"}`)}
        onAction={() => act(asked as Action)}
      />
    </Group>
  )
}
