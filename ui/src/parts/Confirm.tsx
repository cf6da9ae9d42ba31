import { Button, Group, Text, TextInput } from "@mantine/core"
import { type ReactNode, useState } from "react"
import { useTranslation } from "react-i18next"

import { Dialog } from "./Dialog"
import { Problem } from "./Problem"

interface Props {
  opened: boolean
  onClose: () => void
  title: string
  /** What will happen, and whether it can be undone. */
  text: ReactNode
  action: string
  /** What has to be typed first, for what takes much with it. */
  typed?: string
  onAction: () => Promise<unknown>
}

/** Before something that can not be undone. Closes when it is done; says why when it is not. */
export function Confirm({ opened, onClose, title, text, action, typed, onAction }: Props) {
  const { t } = useTranslation()
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>(null)
  const [words, setWords] = useState("")
  async function act() {
    setBusy(true)
    setError(null)
    try {
      await onAction()
      onClose()
    } catch (problem) {
      setError(problem)
    } finally {
      setBusy(false)
    }
  }
  return (
    <Dialog opened={opened} onClose={onClose} title={title}>
      <Text size="sm" mb="md" component="div">
        {text}
      </Text>
      {typed && (
        <TextInput
          mb="md"
          label={t("confirm.type", { typed })}
          value={words}
          onChange={(event) => setWords(event.currentTarget.value)}
          autoComplete="off"
          data-autofocus
        />
      )}
      {error != null && <Problem error={error} />}
      <Group justify="flex-end" mt="md">
        <Button variant="default" onClick={onClose}>
          {t("cancel")}
        </Button>
        <Button
          color="red"
          loading={busy}
          disabled={!!typed && words.trim() !== typed}
          onClick={() => void act()}
        >
          {action}
        </Button>
      </Group>
    </Dialog>
  )
}
