import { Button, Code, Stack, Text, Title } from "@mantine/core"
import { useTranslation } from "react-i18next"
import { useRouteError } from "react-router"

/** A page that could not be shown. After an upgrade its old file is gone: loading anew helps then. */
export function Broken() {
  const { t } = useTranslation()
  const error = useRouteError()
  return (
    <Stack maw={560} m="xl" role="alert">
      <Title order={2}>{t("broken.title")}</Title>
      <Text>{t("broken.text")}</Text>
      <Code block>{String(error)}</Code>
      <Button w="fit-content" onClick={() => location.reload()}>
        {t("broken.again")}
      </Button>
    </Stack>
  )
}
