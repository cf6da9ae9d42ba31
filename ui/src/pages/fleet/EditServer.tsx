import { Button, Group, Modal, NumberInput, Stack, TextInput } from "@mantine/core"
import { useQueryClient } from "@tanstack/react-query"
import { type FormEvent, useState } from "react"
import { useTranslation } from "react-i18next"

import { api } from "../../api/client"
import { Problem } from "../../parts/Problem"
import { done } from "../../parts/told"
import { changed, type Server } from "./shapes"
import { Trusted } from "./Trusted"

/** Name, trust and limit of a server that was added here. Its address is what it is. */
export function EditServer({ server, onClose }: { server: Server; onClose: () => void }) {
  const { t } = useTranslation("fleet")
  const queries = useQueryClient()
  const [name, setName] = useState(server.name)
  const [trust, setTrust] = useState(server.trust)
  const [most, setMost] = useState<number | string>(server.max_concurrency ?? "")
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>(null)

  async function save(event: FormEvent) {
    event.preventDefault()
    setBusy(true)
    setError(null)
    try {
      await api.PATCH("/admin/api/servers/{server}", {
        params: { path: { server: server.id } },
        body: { name: name.trim(), trust, max_concurrency: most === "" ? null : Number(most) },
      })
      done(t("told.saved", { name: name.trim() }))
      onClose()
      await changed(queries)
    } catch (problem) {
      setError(problem)
      setBusy(false)
    }
  }

  return (
    <Modal
      opened
      onClose={onClose}
      closeButtonProps={{ "aria-label": t("close", { ns: "shell" }) }}
      title={t("editTitle", { name: server.name })}
    >
      <form onSubmit={(event) => void save(event)}>
        <Stack>
          <TextInput
            label={t("name")}
            required
            maxLength={100}
            data-autofocus
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          <Trusted value={trust} onChange={setTrust} />
          <NumberInput
            size="sm"
            label={t("add.most")}
            placeholder={t("unlimited", { ns: "shell" })}
            min={1}
            allowDecimal={false}
            value={most}
            onChange={setMost}
          />
          {error != null && <Problem error={error} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {t("cancel", { ns: "shell" })}
            </Button>
            <Button type="submit" loading={busy} disabled={!name.trim()}>
              {t("save", { ns: "shell" })}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  )
}
