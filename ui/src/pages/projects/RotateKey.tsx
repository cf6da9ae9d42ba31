import { Button, Group, Select, Stack, Text } from "@mantine/core"
import { type FormEvent, useState } from "react"
import { useTranslation } from "react-i18next"

import { Dialog } from "../../parts/Dialog"
import { use } from "../../api/client"
import { Problem } from "../../parts/Problem"
import { Expiry } from "./Expiry"
import type { Key } from "./shapes"

const graces = { now: 0, hour: 3600, day: 86_400, week: 604_800, month: 2_592_000 }

interface Props {
  of: Key
  onClose: () => void
  onMade: (key: { secret: string; name: string; endsAt: string }) => void
}

/** A new key beside the old one, which goes on for a while: clients are moved over one by one. */
export function RotateKey({ of: key, onClose, onMade }: Props) {
  const { t } = useTranslation("projects")
  const [grace, setGrace] = useState<keyof typeof graces>("day")
  const [expires, setExpires] = useState<string | null>(null)
  const rotate = use.useMutation("post", "/admin/api/keys/{key_id}/rotate", {
    onSuccess: (made) => onMade({ secret: made.key, name: made.name, endsAt: made.old_key_ends_at }),
  })

  function submit(event: FormEvent) {
    event.preventDefault()
    rotate.mutate({
      params: { path: { key_id: key.id } },
      body: { overlap_seconds: graces[grace], expires_at: expires },
    })
  }

  return (
    <Dialog onClose={onClose} title={t("keys.rotate.title", { name: key.name })}>
      <form onSubmit={submit}>
        <Stack gap="sm">
          <Text size="sm">{t("keys.rotate.text")}</Text>
          <Select
            label={t("keys.rotate.grace")}
            value={grace}
            allowDeselect={false}
            onChange={(value) => setGrace((value ?? "day") as keyof typeof graces)}
            data={Object.keys(graces).map((value) => ({ value, label: t(`keys.rotate.graces.${value}`) }))}
          />
          <Expiry label={t("keys.rotate.expires")} onChange={setExpires} />
          {rotate.error && <Problem error={rotate.error} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {t("cancel", { ns: "shell" })}
            </Button>
            <Button type="submit" loading={rotate.isPending}>
              {t("keys.rotate.action")}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  )
}
