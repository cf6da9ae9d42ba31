import { Alert, Button, Card, Center, PasswordInput, Stack, Text, TextInput, Title } from "@mantine/core"
import { IconAlertTriangle } from "@tabler/icons-react"
import { type FormEvent, useEffect, useRef, useState } from "react"
import { useTranslation } from "react-i18next"
import { Navigate, useLocation, useNavigate, useSearchParams } from "react-router"

import { api, type ApiError } from "../api/client"
import { Mark } from "./Mark"
import { signIn, useSession } from "./session"
import { LanguageSwitch, ThemeSwitch } from "./switches"

/** By one-time link (`#/login?t=…`), by name and password, or with the operator's token. */
export function SignIn() {
  const { t } = useTranslation()
  const session = useSession()
  const navigate = useNavigate()
  const from = (useLocation().state as { from?: string } | null)?.from ?? "/overview"
  const [search, setSearch] = useSearchParams()
  const [error, setError] = useState("")
  const [busy, setBusy] = useState(false)
  const [withToken, setWithToken] = useState(false)
  const [insecure, setInsecure] = useState(false)
  const used = useRef(false)

  async function enter(body: Parameters<typeof signIn>[0]) {
    setBusy(true)
    setError("")
    try {
      await signIn(body)
      void navigate(from, { replace: true })
    } catch (problem) {
      setError((problem as ApiError).message)
    } finally {
      setBusy(false)
    }
  }

  useEffect(() => {
    const link = search.get("t")
    if (link && !used.current) {
      used.current = true
      setSearch({}, { replace: true }) // out of the address and the history
      void enter({ link })
    }
    api.GET("/admin/api/session/options").then(
      ({ data }) => setInsecure(!data!.encrypted && !data!.local),
      () => undefined,
    )
  }, [])

  if (session.data) return <Navigate to={from} replace />

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const form = Object.fromEntries(new FormData(event.currentTarget)) as Record<string, string>
    void enter(withToken ? { token: form.token } : { name: form.name, password: form.password })
  }

  return (
    <Center mih="100dvh" p="md">
      <Stack w={360} component="main">
        <Stack align="center" gap="xs">
          <Mark size={44} />
          <Title order={1} size="h3">
            {t("signIn.title")}
          </Title>
        </Stack>
        {insecure && (
          <Alert color="yellow" icon={<IconAlertTriangle />} title={t("signIn.plain")}>
            {t("signIn.plainText")}
          </Alert>
        )}
        {error && (
          <Alert color="red" role="alert">
            {error}
          </Alert>
        )}
        <Card component="form" onSubmit={submit} padding="lg">
          <Stack>
            {withToken ? (
              <PasswordInput name="token" label={t("signIn.token")} required autoFocus autoComplete="off" />
            ) : (
              <>
                <TextInput name="name" label={t("signIn.name")} required autoFocus autoComplete="username" />
                <PasswordInput
                  name="password"
                  label={t("signIn.password")}
                  required
                  autoComplete="current-password"
                />
              </>
            )}
            <Button type="submit" size="sm" loading={busy} fullWidth>
              {t("signIn.enter")}
            </Button>
            <Button variant="subtle" onClick={() => setWithToken(!withToken)}>
              {withToken ? t("signIn.byPassword") : t("signIn.byToken")}
            </Button>
          </Stack>
        </Card>
        <Text size="xs" c="dimmed" ta="center">
          {t("signIn.link")} <code>llm-gateway admin login-url</code>
        </Text>
        <Center>
          <ThemeSwitch />
          <LanguageSwitch />
        </Center>
      </Stack>
    </Center>
  )
}
