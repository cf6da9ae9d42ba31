import { ActionIcon, Menu, Tooltip, useMantineColorScheme } from "@mantine/core"
import { IconDeviceDesktop, IconLanguage, IconMoon, IconSun } from "@tabler/icons-react"
import { useTranslation } from "react-i18next"

import { type Language, languages, speak } from "../text"

const icons = { light: IconSun, dark: IconMoon, auto: IconDeviceDesktop }

export function ThemeSwitch() {
  const { t } = useTranslation()
  const { colorScheme, setColorScheme } = useMantineColorScheme()
  const Icon = icons[colorScheme]
  return (
    <Menu position="top-start">
      <Menu.Target>
        <Tooltip label={t("theme.title")}>
          <ActionIcon aria-label={t("theme.title")}>
            <Icon size={17} stroke={1.6} />
          </ActionIcon>
        </Tooltip>
      </Menu.Target>
      <Menu.Dropdown>
        {(["light", "dark", "auto"] as const).map((scheme) => {
          const Each = icons[scheme]
          return (
            <Menu.Item
              key={scheme}
              leftSection={<Each size={15} />}
              aria-current={scheme === colorScheme}
              onClick={() => setColorScheme(scheme)}
            >
              {t(`theme.${scheme}`)}
            </Menu.Item>
          )
        })}
      </Menu.Dropdown>
    </Menu>
  )
}

export function LanguageSwitch() {
  const { t, i18n } = useTranslation()
  return (
    <Menu position="top-start">
      <Menu.Target>
        <Tooltip label={t("language")}>
          <ActionIcon aria-label={t("language")}>
            <IconLanguage size={17} stroke={1.6} />
          </ActionIcon>
        </Tooltip>
      </Menu.Target>
      <Menu.Dropdown>
        {Object.entries(languages).map(([code, name]) => (
          <Menu.Item
            key={code}
            lang={code}
            aria-current={i18n.language === code}
            onClick={() => void speak(code as Language)}
          >
            {name}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  )
}
