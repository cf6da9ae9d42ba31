import { Spotlight, spotlight } from "@mantine/spotlight"
import { IconSearch } from "@tabler/icons-react"
import { useTranslation } from "react-i18next"
import { useNavigate } from "react-router"

import type { Page } from "../pages"

export const open = () => spotlight.open()

/** Ctrl+K: every page by name, and a request by its id. */
export default function Commands({ pages }: { pages: Page[] }) {
  const { t } = useTranslation()
  const navigate = useNavigate()
  return (
    <Spotlight
      shortcut={["mod + K"]}
      nothingFound={t("commands.nothing")}
      highlightQuery
      scrollable
      searchProps={{ leftSection: <IconSearch size={17} />, placeholder: t("commands.placeholder") }}
      actions={pages.map(({ id, icon: Icon }) => ({
        id,
        label: t("title", { ns: id }),
        description: t("about", { ns: id }),
        leftSection: <Icon size={19} stroke={1.6} />,
        onClick: () => void navigate(`/${id}`),
      }))}
    />
  )
}
