import { Alert, Button, Card, PasswordInput, Stack, Text, Title } from "@mantine/core"
import { type FormEvent, useState } from "react"
import { useTranslation } from "react-i18next"

import { use } from "../../api/client"
import { forget, useSession } from "../../app/session"
import { Problem } from "../../parts/Problem"
import { done } from "../../parts/told"

const SHORTEST = 15

/** One's own password. All sessions of the user end with it, this one too. */
export function Account() {
  const { t } = useTranslation("settings")
  const user = useSession().data?.user
  const [differs, setDiffers] = useState(false)
  const change = use.useMutation("post", "/admin/api/session/password", {
    onSuccess: () => {
      done(t("passwordChanged"))
      forget()
    },
  })
  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const form = Object.fromEntries(new FormData(event.currentTarget)) as Record<string, string>
    setDiffers(form.new !== form.again)
    if (form.new === form.again) change.mutate({ body: { current: form.current!, new: form.new! } })
  }
  if (user?.how !== "password") return <Alert color="gray">{t("noPassword")}</Alert>
  return (
    <Card maw={420}>
      <form onSubmit={submit}>
        <Stack gap="sm">
          <Title order={2} size="h5">
            {t("password")}
          </Title>
          <Text size="sm" c="dimmed">
            {t("passwordAbout", { count: SHORTEST })}
          </Text>
          <input type="text" name="username" autoComplete="username" value={user.name} readOnly hidden />
          <PasswordInput name="current" label={t("current")} autoComplete="current-password" required />
          <PasswordInput
            name="new"
            label={t("new")}
            autoComplete="new-password"
            minLength={SHORTEST}
            required
          />
          <PasswordInput
            name="again"
            label={t("repeat")}
            autoComplete="new-password"
            error={differs && t("differs")}
            required
          />
          {change.error && <Problem error={change.error} />}
          <Button type="submit" loading={change.isPending} w="fit-content">
            {t("save", { ns: "shell" })}
          </Button>
        </Stack>
      </form>
    </Card>
  )
}
