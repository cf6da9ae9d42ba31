import { useTranslation } from "react-i18next"

import { PageHead } from "../../parts/PageHead"

export default function Projects() {
  const { t } = useTranslation("projects")
  return <PageHead title={t("title")} about={t("about")} />
}
