import { Button, Group, Tooltip } from "@mantine/core"
import {
  IconPencil,
  IconPlayerPause,
  IconPlayerPlay,
  IconPower,
  IconRadar2,
  IconTrash,
} from "@tabler/icons-react"
import { useQueryClient } from "@tanstack/react-query"
import { type ReactNode, useState } from "react"
import { useTranslation } from "react-i18next"

import { api } from "../../api/client"
import { useMay } from "../../app/session"
import { Confirm } from "../../parts/Confirm"
import { done, failed } from "../../parts/told"
import { EditServer } from "./EditServer"
import { ADDED, changed, type Server } from "./shapes"

/** What can be done to one server. What cannot be says why. */
export function Actions({ server, onClose }: { server: Server; onClose: () => void }) {
  const { t } = useTranslation("fleet")
  const queries = useQueryClient()
  const may = useMay("editor")
  const [busy, setBusy] = useState("")
  const [removing, setRemoving] = useState(false)
  const [editing, setEditing] = useState(false)
  const params = { params: { path: { server: server.id } } }

  async function act(name: string, action: () => Promise<string>) {
    setBusy(name)
    try {
      const told = await action()
      if (told) done(told)
      await changed(queries)
    } catch (error) {
      failed(error)
    } finally {
      setBusy("")
    }
  }
  const probe = async () => {
    const { data } = await api.POST("/admin/api/servers/{server}/probe", params)
    const { ok, models, fault, detail } = data!.probe
    if (ok) return t("probed", { count: models ?? 0 })
    failed({ message: t("probeFailed", { why: [fault, detail].filter(Boolean).join(": ") }) })
    return ""
  }
  const named = { name: server.name }
  const enable = async () => {
    await api.POST("/admin/api/servers/{server}/enable", params)
    return t("told.enable", named)
  }
  const disable = async () => {
    await api.POST("/admin/api/servers/{server}/disable", params)
    return t("told.disable", named)
  }
  const drain = async () => {
    const { data } = await api.POST("/admin/api/servers/{server}/drain", params)
    return t(data!.draining ? "told.draining" : "told.disable", { ...named, count: data!.in_flight })
  }

  const ofFile = server.owner === "file" && t("owned.file", { ns: "shell" })
  const ofSource =
    ofFile ||
    (server.source !== ADDED && t("ofSource", { source: t(`source.${server.source}`, server.source) }))
  const button = (
    name: string,
    icon: ReactNode,
    onClick: () => void,
    why: string | false = false,
    about?: string,
  ) => {
    const not = why || (!may && t("needsEditor"))
    return (
      <Tooltip label={not || about} disabled={!not && !about} multiline maw={300}>
        <Button
          variant="default"
          leftSection={icon}
          loading={busy === name}
          data-disabled={!!not || undefined}
          aria-disabled={!!not}
          onClick={() => !not && !busy && onClick()}
        >
          {t(`action.${name}`)}
        </Button>
      </Tooltip>
    )
  }

  return (
    <Group gap="xs">
      {button("probe", <IconRadar2 size={15} />, () => void act("probe", probe), false, t("aboutOf.probe"))}
      {server.enabled ? (
        <>
          {button(
            "drain",
            <IconPlayerPause size={15} />,
            () => void act("drain", drain),
            ofFile,
            t("aboutOf.drain"),
          )}
          {button(
            "disable",
            <IconPower size={15} />,
            () => void act("disable", disable),
            ofFile,
            t("aboutOf.disable"),
          )}
        </>
      ) : (
        button(
          "enable",
          <IconPlayerPlay size={15} />,
          () => void act("enable", enable),
          ofFile,
          t("aboutOf.enable"),
        )
      )}
      {button("edit", <IconPencil size={15} />, () => setEditing(true), ofSource)}
      {button("remove", <IconTrash size={15} />, () => setRemoving(true), ofSource)}
      {editing && <EditServer server={server} onClose={() => setEditing(false)} />}
      <Confirm
        opened={removing}
        onClose={() => setRemoving(false)}
        title={t("remove.title", named)}
        text={t("remove.text")}
        action={t("action.remove")}
        onAction={async () => {
          await api.DELETE("/admin/api/servers/{server}", params)
          onClose()
          done(t("remove.done", named))
          await changed(queries, server.id)
        }}
      />
    </Group>
  )
}
