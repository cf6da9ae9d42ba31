import { Button, Checkbox, Group, List, Stack, Text } from "@mantine/core"
import { useState } from "react"
import { useTranslation } from "react-i18next"

import { Dialog } from "../../parts/Dialog"
import { Problem } from "../../parts/Problem"

interface Props {
  project: string
  /** Are requests with tools to go there as well? */
  tools: boolean
  busy: boolean
  error: unknown
  onClose: () => void
  onAgree: () => void
}

/** Before a project's prompts go to strangers' machines: what that means, in plain words. */
export function Consent({ project, tools, busy, error, onClose, onAgree }: Props) {
  const { t } = useTranslation("projects")
  const [agreed, setAgreed] = useState(false)
  return (
    <Dialog onClose={onClose} title={t("consent.title", { project })} size="lg">
      <Stack gap="sm">
        <Text size="sm">{t("consent.lead")}</Text>
        <List size="sm" spacing={6}>
          <List.Item>{t("consent.strangers")}</List.Item>
          <List.Item>{t("consent.unencrypted")}</List.Item>
          <List.Item>{t("consent.contract")}</List.Item>
          <List.Item>{t("consent.wrong")}</List.Item>
          {tools && <List.Item>{t("consent.tools")}</List.Item>}
          <List.Item>{t("consent.recorded")}</List.Item>
        </List>
        <Checkbox
          label={t("consent.agree")}
          checked={agreed}
          onChange={(event) => setAgreed(event.currentTarget.checked)}
        />
        {error != null && <Problem error={error} />}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            {t("cancel", { ns: "shell" })}
          </Button>
          <Button color="red" disabled={!agreed} loading={busy} onClick={onAgree}>
            {t("consent.action")}
          </Button>
        </Group>
      </Stack>
    </Dialog>
  )
}
