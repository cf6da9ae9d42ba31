import { Alert, Button, Checkbox, Group, Stack, Tabs, Text } from "@mantine/core"
import { IconKey } from "@tabler/icons-react"
import { type ReactNode, useState } from "react"
import { useTranslation } from "react-i18next"

import { Dialog } from "./Dialog"
import { CodeBox } from "./CodeBox"
import { dotenv, pasted, useRecipes } from "./recipes"

interface Props {
  secret: string
  name: string
  project: string
  /** What else there is to know, such as when the key that it replaces ends. */
  note?: ReactNode
  onClose: () => void
}

/** A key, the only time that it is seen: it closes when whoever reads it says that it is kept. */
export function Reveal({ secret, name, project, note, onClose }: Props) {
  const { t } = useTranslation("projects")
  const [saved, setSaved] = useState(false)
  return (
    <Dialog
      onClose={onClose}
      title={t("reveal.title", { name })}
      size="lg"
      withCloseButton={false}
      closeOnClickOutside={false}
      closeOnEscape={false}
    >
      <Stack gap="sm">
        <Text size="sm">{t("reveal.once")}</Text>
        {note && (
          <Alert color="yellow" icon={<IconKey />} p="xs">
            {note}
          </Alert>
        )}
        <KeyTexts secret={secret} project={project} />
        <Group justify="space-between" mt="xs">
          <Checkbox
            label={t("reveal.saved")}
            checked={saved}
            onChange={(event) => setSaved(event.currentTarget.checked)}
          />
          <Button disabled={!saved} onClick={onClose}>
            {t("close", { ns: "shell" })}
          </Button>
        </Group>
      </Stack>
    </Dialog>
  )
}

/** The key alone, and in the texts that people paste it into. */
export function KeyTexts({ secret, project }: { secret: string; project: string }) {
  const { t } = useTranslation("projects")
  const { data: recipes } = useRecipes(project)
  const texts = recipes && {
    env: dotenv(recipes, secret),
    curl: pasted(recipes, "curl", secret),
    python: pasted(recipes, "openai-python", secret),
  }
  return (
    <Tabs defaultValue="plain">
      <Tabs.List mb="xs">
        {["plain", "env", "curl", "python"].map((tab) => (
          <Tabs.Tab key={tab} value={tab} disabled={tab !== "plain" && !texts}>
            {t(`reveal.${tab}`)}
          </Tabs.Tab>
        ))}
      </Tabs.List>
      <Tabs.Panel value="plain">
        <CodeBox code={secret} label={t("reveal.plain")} />
      </Tabs.Panel>
      {texts &&
        Object.entries(texts).map(([tab, text]) => (
          <Tabs.Panel key={tab} value={tab}>
            <CodeBox code={text} label={t(`reveal.${tab}`)} />
          </Tabs.Panel>
        ))}
    </Tabs>
  )
}
