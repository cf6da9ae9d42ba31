import { Button, Group, Modal, NumberInput, Select, Stack, TextInput } from "@mantine/core"
import { useQueryClient } from "@tanstack/react-query"
import { type FormEvent, useState } from "react"
import { useTranslation } from "react-i18next"

import { api, type Shape } from "../../api/client"
import { Problem } from "../../parts/Problem"
import { done } from "../../parts/told"
import { changed } from "./shapes"
import { Trusted } from "./Trusted"
import { Verified } from "./Verified"

/** An address is verified first; then it is added, also where nothing answered yet. */
export function AddServer({ onClose, added }: { onClose: () => void; added: (id: string) => void }) {
  const { t } = useTranslation("fleet")
  const queries = useQueryClient()
  const [url, setUrl] = useState("")
  const [kind, setKind] = useState("ollama")
  const [trust, setTrust] = useState<Shape["Trust"]>("own")
  const [variable, setVariable] = useState("")
  const [name, setName] = useState("")
  const [most, setMost] = useState<number | string>("")
  const [verified, setVerified] = useState<Shape["Verified"] | null>(null)
  const [busy, setBusy] = useState("")
  const [error, setError] = useState<unknown>(null)

  /** What was verified was another address then. */
  const anew =
    <T,>(change: (value: T) => void) =>
    (value: T) => {
      change(value)
      setVerified(null)
    }

  async function act(what: string, action: () => Promise<void>) {
    setBusy(what)
    setError(null)
    try {
      await action()
    } catch (problem) {
      setError(problem)
    } finally {
      setBusy("")
    }
  }
  const address = { url: url.trim(), kind, trust, api_key_env: variable.trim() || null }
  const verify = () =>
    act("verify", async () => {
      const { data } = await api.POST("/admin/api/servers/verify", { body: address })
      setVerified(data!)
      setName((old) => old || hostOf(data!.url))
    })
  const add = () =>
    act("add", async () => {
      const { data } = await api.POST("/admin/api/servers", {
        body: { ...address, name: name.trim(), max_concurrency: most === "" ? null : Number(most) },
      })
      done(t("told.added", { name: data!.name }))
      added(data!.id)
      await changed(queries)
    })
  function submit(event: FormEvent) {
    event.preventDefault()
    void (verified ? add() : verify())
  }

  return (
    <Modal
      opened
      onClose={onClose}
      closeButtonProps={{ "aria-label": t("close", { ns: "shell" }) }}
      title={t("add.title")}
      size="lg"
      closeOnClickOutside={false}
    >
      <form onSubmit={submit}>
        <Stack>
          <Group align="flex-end" wrap="nowrap">
            <TextInput
              flex={1}
              label={t("address")}
              placeholder="http://gpu-1.lan:11434"
              required
              maxLength={500}
              data-autofocus
              value={url}
              onChange={(event) => anew(setUrl)(event.currentTarget.value)}
            />
            <Select
              w={130}
              label={t("kind")}
              allowDeselect={false}
              data={[
                { value: "ollama", label: "Ollama" },
                { value: "openai", label: "OpenAI API" },
              ]}
              value={kind}
              onChange={(value) => anew(setKind)(value ?? "ollama")}
            />
          </Group>
          <Trusted value={trust} onChange={anew(setTrust)} />
          <TextInput
            label={t("keyVariable")}
            description={t("add.keyAbout")}
            placeholder="UPSTREAM_LAB_KEY"
            maxLength={100}
            value={variable}
            onChange={(event) => anew(setVariable)(event.currentTarget.value)}
          />
          {verified && (
            <>
              <Verified told={verified} />
              <Group grow align="flex-start">
                <TextInput
                  label={t("name")}
                  required
                  maxLength={100}
                  value={name}
                  onChange={(event) => setName(event.currentTarget.value)}
                />
                <NumberInput
                  size="sm"
                  label={t("add.most")}
                  placeholder={t("unlimited", { ns: "shell" })}
                  min={1}
                  allowDecimal={false}
                  value={most}
                  onChange={setMost}
                />
              </Group>
            </>
          )}
          {error != null && <Problem error={error} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {t("cancel", { ns: "shell" })}
            </Button>
            {verified && (
              <Button variant="default" loading={busy === "verify"} onClick={() => void verify()}>
                {t("add.again")}
              </Button>
            )}
            <Button type="submit" loading={busy === (verified ? "add" : "verify")} disabled={!url.trim()}>
              {t(verified ? (verified.ok ? "add.add" : "add.anyway") : "add.verify")}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  )
}

function hostOf(url: string): string {
  try {
    return new URL(url).host.replace(/:(80|443|11434)$/, "").slice(0, 100)
  } catch {
    return ""
  }
}
