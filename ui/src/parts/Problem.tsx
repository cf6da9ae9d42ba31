import { Alert, Button, Code, Group, Text } from "@mantine/core"
import { IconAlertCircle } from "@tabler/icons-react"
import { useTranslation } from "react-i18next"

import type { ApiError } from "../api/client"

/** What went wrong, in the API's own words (they say what is allowed), with the id to look it up by. */
export function Problem({ error, again }: { error: unknown; again?: () => void }) {
  const { t } = useTranslation()
  const { message, requestId, status } = error as ApiError
  return (
    <Alert
      color="red"
      icon={<IconAlertCircle />}
      title={t(status === 0 ? "problem.unreachable" : "problem.title")}
    >
      <Text size="sm">{message}</Text>
      <Group mt="xs">
        {again && (
          <Button variant="light" color="red" onClick={again}>
            {t("problem.again")}
          </Button>
        )}
        {requestId && <Code>{requestId}</Code>}
      </Group>
    </Alert>
  )
}
