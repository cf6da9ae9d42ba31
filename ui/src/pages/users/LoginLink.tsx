import { Button, Group, Skeleton, Stack, Text } from "@mantine/core"
import { useEffect, useRef } from "react"
import { useTranslation } from "react-i18next"

import { Dialog } from "../../parts/Dialog"
import { use } from "../../api/client"
import { CodeBox } from "../../parts/CodeBox"
import { Problem } from "../../parts/Problem"
import { When } from "../../parts/When"

/** A link that signs one person in as owner, once; seen only here. */
export function LoginLink({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation("users")
  const make = use.useMutation("post", "/admin/api/session/links")
  const asked = useRef(false) // once, also where React mounts twice
  useEffect(() => {
    if (!asked.current) make.mutate({})
    asked.current = true
  }, [make])
  return (
    <Dialog onClose={onClose} title={t("link.title")} size="lg">
      <Stack gap="sm">
        <Text size="sm">{t("link.text")}</Text>
        {make.error ? (
          <Problem error={make.error} />
        ) : make.data ? (
          <>
            <CodeBox code={make.data.url} label={t("link.title")} />
            <Text size="sm" c="dimmed">
              {t("link.ends")} <When at={make.data.expires_at} />
            </Text>
          </>
        ) : (
          <Skeleton h={40} />
        )}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            {t("close", { ns: "shell" })}
          </Button>
        </Group>
      </Stack>
    </Dialog>
  )
}
