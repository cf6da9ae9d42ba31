import { Button, Divider, Group, Stack, Text } from "@mantine/core"
import { type FormEvent, useState } from "react"
import { useTranslation } from "react-i18next"

import { Dialog } from "../../parts/Dialog"
import { use } from "../../api/client"
import { Problem } from "../../parts/Problem"
import { done } from "../../parts/told"
import { LimitBars, LimitFields, limitsOf, textsOf } from "./limits"
import { type Key, useChanged } from "./shapes"

/** What one key may use of its project's limits, and has used. */
export function KeyLimits({ of: key, onClose }: { of: Key; onClose: () => void }) {
  const { t } = useTranslation("projects")
  const changed = useChanged()
  const [texts, setTexts] = useState(textsOf(key))
  const params = { path: { key_id: key.id } }
  const figures = use.useQuery("get", "/admin/api/keys/{key_id}/limits", { params })
  const save = use.useMutation("patch", "/admin/api/keys/{key_id}", {
    onSuccess: async () => {
      await changed()
      done(t("saved"))
      onClose()
    },
  })

  function submit(event: FormEvent) {
    event.preventDefault()
    save.mutate({ params, body: limitsOf(texts) })
  }

  return (
    <Dialog onClose={onClose} title={t("keys.limitsOf", { name: key.name })}>
      <form onSubmit={submit}>
        <Stack gap="sm">
          <Text size="sm" c="dimmed">
            {t("keys.limitsAbout")}
          </Text>
          {figures.data && figures.data.data.length > 0 && (
            <>
              <LimitBars figures={figures.data.data} />
              <Divider />
            </>
          )}
          <LimitFields texts={texts} onChange={setTexts} />
          {save.error && <Problem error={save.error} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {t("cancel", { ns: "shell" })}
            </Button>
            <Button type="submit" loading={save.isPending}>
              {t("save", { ns: "shell" })}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  )
}
