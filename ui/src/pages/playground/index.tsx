import { useTranslation } from "react-i18next"

import { PageHead } from "../../parts/PageHead"

export default function Playground() {
  const { t } = useTranslation("playground")
  return <PageHead title={t("title")} about={t("about")} />
}
