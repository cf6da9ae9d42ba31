import { useTranslation } from "react-i18next"

import { PageHead } from "../../parts/PageHead"

export default function Fleet() {
  const { t } = useTranslation("fleet")
  return <PageHead title={t("title")} about={t("about")} />
}
