import { Alert, Button, Stack, Text } from "@mantine/core"
import { IconEye } from "@tabler/icons-react"
import { useState } from "react"
import { useTranslation } from "react-i18next"

import { type ApiError, use } from "../../api/client"
import { CodeBox } from "../../parts/CodeBox"
import { absolute } from "../../parts/format"
import { Gate } from "../../parts/Gate"
import { Problem } from "../../parts/Problem"

const shown = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value, null, 2))

/** The payload where it is kept: asked for only when somebody wants to read it. `undefined`: not yet. */
export function usePayload(id: string, wanted: boolean) {
  return use.useQuery(
    "get",
    "/admin/api/requests/{request_id}/payload",
    { params: { path: { request_id: id } } },
    { enabled: wanted, retry: false, staleTime: Infinity },
  )
}

/** What was asked and answered, as plain text. */
export function Payload({ id }: { id: string }) {
  const { t } = useTranslation("requests")
  const [wanted, setWanted] = useState(false)
  const payload = usePayload(id, wanted)
  if (!wanted)
    return (
      <Gate>
        {(disabled) => (
          <Button
            variant="default"
            leftSection={<IconEye size={15} />}
            w="fit-content"
            disabled={disabled}
            onClick={() => setWanted(true)}
          >
            {t("payload.show")}
          </Button>
        )}
      </Gate>
    )
  if (payload.error)
    return (payload.error as unknown as ApiError).status === 404 ? (
      <Text size="sm" c="dimmed">
        {t("payload.none")}
      </Text>
    ) : (
      <Problem error={payload.error} again={() => void payload.refetch()} />
    )
  if (!payload.data)
    return (
      <Text size="sm" c="dimmed" role="status">
        {t("loading", { ns: "shell" })}
      </Text>
    )
  const { request, response, redactions, cut, expires_at } = payload.data
  return (
    <Stack gap="xs">
      <Text size="xs" c="dimmed">
        {t("payload.about", { redactions, until: absolute(expires_at) })}
      </Text>
      {cut && <Alert color="yellow">{t("payload.cut")}</Alert>}
      <Text size="xs" fw={600}>
        {t("payload.request")}
      </Text>
      <CodeBox code={shown(request)} label={t("payload.request")} />
      <Text size="xs" fw={600}>
        {t("payload.response")}
      </Text>
      <CodeBox code={shown(response)} label={t("payload.response")} />
    </Stack>
  )
}
