import {
  ActionIcon,
  AppShell,
  Burger,
  Center,
  Group,
  Kbd,
  Loader,
  Menu,
  NavLink,
  Progress,
  ScrollArea,
  Text,
  UnstyledButton,
} from "@mantine/core"
import { useDisclosure } from "@mantine/hooks"
import { IconHelp, IconLogout, IconSearch, IconUserCircle } from "@tabler/icons-react"
import { lazy, Suspense, useEffect } from "react"
import { useTranslation } from "react-i18next"
import { Link, Navigate, Outlet, useLocation, useNavigation } from "react-router"

import { ApiError, signedOut } from "../api/client"
import { pages } from "../pages"
import { Problem } from "../parts/Problem"
import { Mark } from "./Mark"
import { forget, signOut, useSession } from "./session"
import { useShortcuts } from "./keys"
import { LanguageSwitch, ThemeSwitch } from "./switches"

// comes after the first page: nobody finds anything before
const Commands = lazy(() => import("./Commands"))
const Shortcuts = lazy(() => import("./Shortcuts"))
const openCommands = () => void import("./Commands").then(({ open }) => open())

const groups = ["observe", "serve", "try", "admin"] as const

/** The frame of every page: navigation, command palette, shortcuts; the sign-in page when there is no session. */
export function Shell() {
  const { t } = useTranslation()
  const session = useSession()
  const location = useLocation()
  const navigation = useNavigation()
  const [open, { toggle, close }] = useDisclosure()
  const [help, showHelp] = useDisclosure()
  const user = session.data?.user
  const seen = pages.filter((page) => !page.role || user?.role === "owner" || user?.role === page.role)
  useShortcuts(seen, showHelp.open)

  useEffect(() => {
    signedOut.addEventListener("out", forget)
    return () => signedOut.removeEventListener("out", forget)
  }, [])
  useEffect(close, [location.pathname])
  const page = pages.find(({ id }) => location.pathname.split("/")[1] === id)
  useEffect(() => {
    document.title = page ? `${t("title", { ns: page.id })} · LLM Gateway` : "LLM Gateway"
  }, [page, t])

  if (session.isPending)
    return (
      <Center mih="100dvh">
        <Loader aria-label={t("loading")} />
      </Center>
    )
  if (session.error)
    return <Problem error={session.error as unknown as ApiError} again={() => void session.refetch()} />
  if (!user) return <Navigate to="/login" replace state={{ from: location.pathname + location.search }} />

  return (
    <AppShell
      navbar={{ width: 224, breakpoint: "sm", collapsed: { mobile: !open } }}
      header={{ height: { base: 48, sm: 0 } }}
      padding={{ base: "md", lg: "xl" }}
    >
      <a className="mantine-visually-hidden-focusable skip" href="#main" onClick={skip}>
        {t("skip")}
      </a>
      <AppShell.Header hiddenFrom="sm" px="md">
        <Group h="100%" gap="sm">
          <Burger opened={open} onClick={toggle} size="sm" aria-label={t("menu")} aria-expanded={open} />
          <Mark size={22} />
          <Text fw={600}>{page ? t("title", { ns: page.id }) : ""}</Text>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="sm" component="nav" aria-label={t("navigation")}>
        <Group gap="xs" px={6} pb="sm" visibleFrom="sm">
          <Mark />
          <Text fw={650}>LLM Gateway</Text>
        </Group>
        <UnstyledButton onClick={openCommands} className="find">
          <IconSearch size={15} stroke={1.7} />
          <Text size="sm" flex={1}>
            {t("commands.open")}
          </Text>
          <Kbd size="xs">Ctrl K</Kbd>
        </UnstyledButton>
        <ScrollArea flex={1} type="never">
          {groups.map((group) => (
            <div key={group} role="group" aria-label={t(`groups.${group}`)}>
              <Text size="xs" c="dimmed" fw={500} px={8} pt="sm" pb={4} aria-hidden>
                {t(`groups.${group}`)}
              </Text>
              {seen
                .filter((each) => each.group === group)
                .map(({ id, icon: Icon }) => (
                  <NavLink
                    key={id}
                    component={Link}
                    to={`/${id}`}
                    active={page?.id === id}
                    aria-current={page?.id === id ? "page" : undefined}
                    label={t("title", { ns: id })}
                    leftSection={<Icon size={17} stroke={1.6} />}
                    className="nav"
                  />
                ))}
            </div>
          ))}
        </ScrollArea>
        <Group gap={2} pt="xs" className="foot">
          <Menu position="top-start" width={200}>
            <Menu.Target>
              <UnstyledButton className="who" aria-label={`${user.name}, ${t("account.title")}`}>
                <IconUserCircle size={18} stroke={1.6} />
                <Text size="sm" truncate>
                  {user.name}
                </Text>
              </UnstyledButton>
            </Menu.Target>
            <Menu.Dropdown>
              <Menu.Label>{t(`roles.${user.role}`)}</Menu.Label>
              <Menu.Item component={Link} to="/settings/account">
                {t("account.password")}
              </Menu.Item>
              <Menu.Item leftSection={<IconLogout size={15} />} onClick={() => void signOut()}>
                {t("account.signOut")}
              </Menu.Item>
            </Menu.Dropdown>
          </Menu>
          <ActionIcon aria-label={t("help.title")} onClick={showHelp.open}>
            <IconHelp size={17} stroke={1.6} />
          </ActionIcon>
          <ThemeSwitch />
          <LanguageSwitch />
        </Group>
      </AppShell.Navbar>
      <AppShell.Main id="main" tabIndex={-1}>
        {navigation.state === "loading" && (
          <Progress value={100} animated size={2} className="loading" aria-hidden />
        )}
        <Outlet />
      </AppShell.Main>
      <Suspense>
        <Commands pages={seen} />
        {help && <Shortcuts pages={seen} opened={help} onClose={showHelp.close} />}
      </Suspense>
    </AppShell>
  )
}

function skip(event: React.MouseEvent) {
  event.preventDefault() // the address's hash is the page
  document.getElementById("main")?.focus()
}
