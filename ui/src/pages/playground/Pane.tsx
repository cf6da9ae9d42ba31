import { ActionIcon, Autocomplete, Card, Group, ScrollArea, Stack, Text, Tooltip } from "@mantine/core"
import { IconX } from "@tabler/icons-react"
import { useEffect, useRef } from "react"
import { useTranslation } from "react-i18next"

import { Answer } from "./Answer"
import type { Said } from "./stream"

export interface Turn {
  question: string
  said: Said
}

interface Props {
  model: string
  names: string[]
  turns: Turn[]
  onModel: (model: string) => void
  onClose?: () => void
  number: number
}

/** One model and the conversation with it. */
export function Pane({ model, names, turns, onModel, onClose, number }: Props) {
  const { t } = useTranslation("playground")
  const end = useRef<HTMLDivElement>(null)
  const last = turns.at(-1)?.said
  useEffect(() => {
    if (last) end.current?.scrollIntoView({ block: "nearest" })
  }, [last?.text, last?.state, turns.length])
  return (
    <Card padding={0} className="pane">
      <Group p="xs" gap="xs" wrap="nowrap" className="pane-head">
        <Autocomplete
          aria-label={t("modelOf", { number })}
          placeholder={t("model")}
          data={names}
          value={model}
          onChange={onModel}
          limit={50}
          flex={1}
          size="xs"
        />
        {onClose && (
          <Tooltip label={t("closePane")}>
            <ActionIcon aria-label={t("closePane")} onClick={onClose}>
              <IconX size={15} />
            </ActionIcon>
          </Tooltip>
        )}
      </Group>
      <ScrollArea
        flex={1}
        p="md"
        viewportProps={{ tabIndex: 0, role: "log", "aria-label": t("conversation", { model }) }}
      >
        <Stack gap="md">
          {turns.length === 0 && (
            <Text c="dimmed" size="sm" ta="center" py="xl">
              {t("empty")}
            </Text>
          )}
          {turns.map((turn, at) => (
            <div key={at}>
              <Text size="sm" fw={600} className="plain" mb={4}>
                {turn.question}
              </Text>
              <Answer said={turn.said} />
            </div>
          ))}
          <div ref={end} />
        </Stack>
      </ScrollArea>
    </Card>
  )
}
