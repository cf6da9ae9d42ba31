import { Button, Menu } from "@mantine/core"
import { IconDownload } from "@tabler/icons-react"
import { useTranslation } from "react-i18next"

import { root } from "../api/client"

interface Props {
  /** The route of the export. */
  path: "/admin/api/requests/export" | "/admin/api/audit/export"
  /** What the list shows. */
  query: Record<string, string | number | boolean | null | undefined>
}

/** Everything that a list of this query holds, as a file that the browser saves while it arrives. */
export function Exports({ path, query }: Props) {
  const { t } = useTranslation()
  const address = (format: string) => {
    const all = Object.entries({ ...query, format }).filter(([, value]) => value != null)
    return `${root}${path}?${new URLSearchParams(all.map(([name, value]) => [name, String(value)])).toString()}`
  }
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <Button variant="default" leftSection={<IconDownload size={15} />}>
          {t("export.title")}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>{t("export.about")}</Menu.Label>
        {(["csv", "ndjson"] as const).map((format) => (
          <Menu.Item key={format} component="a" href={address(format)} download>
            {t(`export.${format}`)}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  )
}
